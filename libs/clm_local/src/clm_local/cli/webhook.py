"""`clm webhook`: where stage changes are delivered to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from clm_local.cli import connecting, screen
from clm_local.webhooks import Webhook, Webhooks


def create(name: str, url: str, filter_: Mapping[str, object]) -> None:
    """Make a webhook, and show its secret."""
    with connecting.to(Webhooks) as engine:
        _show(engine.create(name, url, filter_))


def list_all() -> None:
    """List the webhooks."""
    with connecting.to(Webhooks) as engine:
        found = engine.list()
    table = Table("name", "url", "id", "", box=None, padding=(0, 2, 0, 0))
    for it in found:
        state = "" if it.enabled else f"disabled ({it.disabled_reason})"
        table.add_row(escape(it.name), escape(it.url), it.id[:8], state)
    screen.out.print(table if found else "There is no webhook yet: `clm webhook create NAME URL`.")


def rotate(name: str, grace: int) -> None:
    """Give a webhook a new secret, and show it."""
    with connecting.to(Webhooks) as engine:
        _show(engine.rotate(engine.choose(name).id, grace))


def disable(name: str, *, yes: bool) -> None:
    """Deliver nothing from now on."""
    with connecting.to(Webhooks) as engine:
        chosen = engine.choose(name)
        screen.confirm(f"Deliver nothing to {chosen.name!r} from now on?", yes=yes)
        engine.switch(chosen.id, enabled=False)
    screen.out.print(f"{escape(chosen.name)} is disabled; what happens meanwhile waits for it.")


def enable(name: str) -> None:
    """Go on where it stopped."""
    with connecting.to(Webhooks) as engine:
        chosen = engine.choose(name)
        engine.switch(chosen.id, enabled=True)
    screen.out.print(f"{escape(chosen.name)} is enabled; it goes on where it stopped.")


def test(name: str) -> None:
    """Send an event to try the endpoint out; ends with 1 if it does not take it."""
    with connecting.to(Webhooks) as engine:
        tried = engine.test(engine.choose(name).id)
    if not tried.delivered:
        screen.err.print(f"It was not taken: {tried.reason}.")
        raise SystemExit(1)
    screen.out.print(f"It was taken: HTTP {tried.status}.")


def deliveries(name: str, state: str | None, limit: int) -> None:
    """List the newest deliveries."""
    with connecting.to(Webhooks) as engine:
        found = engine.deliveries(engine.choose(name).id, state, limit)
    columns = ("id", "webhook-id", "state", "tries", "status", "reason", "next try")
    table = Table(*columns, box=None, padding=(0, 2, 0, 0))
    for it in found:
        again = "" if it.next_at is None else it.next_at.isoformat(timespec="seconds")
        status = "" if it.status is None else str(it.status)
        row = (str(it.id), it.webhook_id, it.state, str(it.attempts), status)
        table.add_row(*row, it.reason or "", again)
    screen.out.print(table if found else "Nothing was to be delivered yet.")


def replay(name: str, ids: Sequence[int]) -> None:
    """Have dead deliveries tried anew."""
    with connecting.to(Webhooks) as engine:
        count = engine.replay(engine.choose(name).id, ids)
    screen.out.print(f"{count} dead deliveries are tried anew.")


def _show(made: Webhook) -> None:
    lines = [f"webhook  {escape(made.name)}", f"url      {escape(made.url)}"]
    screen.out.print("\n".join([*lines, f"secret   {made.secret}"]), soft_wrap=True)
    screen.out.print("[dim]Keep the secret: it is not shown again.[/]")
