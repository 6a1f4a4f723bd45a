"""`clm hook`: where other systems send their webhooks to."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from clm_local import documents, hooks, sources, system
from clm_local.cli import connecting, screen
from clm_local.errors import LocalError
from clm_local.hooks import Hook, Hooks
from clm_local.sources import Sources


def create(name: str, mapping: str, scheme: str, *, source: str | None, secret: str | None) -> None:
    """Make a hook, and by default a source of its own with the same name."""
    wanted: dict[str, object] = {"name": name, "mapping": mapping, "scheme": scheme}
    wanted["source"] = _source(source or name, make=source is None)
    if (given := _secret(secret)) is not None:
        wanted["secret"] = given
    with connecting.to(Hooks) as ingest:
        _show(ingest.create(wanted))


def list_all() -> None:
    """List the hooks."""
    with connecting.to(Hooks) as ingest:
        found = ingest.list()
    table = Table("name", "address", "mapping", "scheme", "", box=None, padding=(0, 2, 0, 0))
    for it in found:
        state = "disabled" if it.disabled_at else _wanting(it)
        table.add_row(escape(it.name), it.path, it.mapping, it.scheme, state)
    screen.out.print(table if found else "There is no hook yet: `clm hook create NAME`.")


def rotate(name: str, *, secret: str | None, grace: int) -> None:
    """Give a hook a new secret."""
    given = _secret(secret)
    with connecting.to(Hooks) as ingest:
        _show(ingest.rotate(hooks.choose(ingest.list(), name).id, given, grace))


def disable(name: str, *, yes: bool) -> None:
    """Take nothing from now on."""
    with connecting.to(Hooks) as ingest:
        chosen = hooks.choose(ingest.list(), name)
        screen.confirm(f"Refuse every webhook to {chosen.name!r} from now on?", yes=yes)
        ingest.disable(chosen.id)
    screen.out.print(f"{escape(chosen.name)} is disabled; it refuses within two seconds.")


def enable(name: str) -> None:
    """Take what is sent again."""
    with connecting.to(Hooks) as ingest:
        chosen = hooks.choose(ingest.list(), name)
        ingest.enable(chosen.id)
    screen.out.print(f"{escape(chosen.name)} is enabled; it takes webhooks within two seconds.")


def test(name: str, file: str, headers: Sequence[str]) -> None:
    """Print what a body would become, as JSON; ends with 1 if anything would be refused."""
    try:
        body = sys.stdin.read() if file == documents.STDIN else Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LocalError("file-unreadable", f"{file} cannot be read: {error}.") from error
    pairs = [it.partition(":") for it in headers]
    with connecting.to(Hooks) as ingest:
        chosen = hooks.choose(ingest.list(), name)
        told = ingest.test(chosen.id, body, {key.strip(): text.strip() for key, _, text in pairs})
    screen.document(told.touchpoints)
    for it in told.refused:
        screen.err.print(f"It would go to the quarantine: {escape(it.code)}: {escape(it.detail)}")
    if told.ignored:
        screen.err.print("The mapping has no touchpoint for it: it would be ignored.")
    if told.refused:
        raise SystemExit(1)


def _show(made: Hook) -> None:
    _, workspace = connecting.running()
    address = f"{system.url(workspace, 'ingest')}{made.path}"
    lines = [f"hook     {escape(made.name)}", f"address  {address}"]
    if made.secret is not None:
        lines.append(f"secret   {made.secret}")
    screen.out.print("\n".join(lines), soft_wrap=True)
    if made.secret is not None:
        screen.out.print("[dim]Keep the secret: it is not shown again.[/]")
    if wanting := _wanting(made):
        screen.out.print(f"[dim]{wanting}: give the address to the sender, then its secret to us "
                         "with `clm hook rotate NAME --secret -`.[/]")  # fmt: skip


def _wanting(hook: Hook) -> str:
    return "" if hook.has_secret or hook.scheme == "write-key" else "no secret yet"


def _secret(given: str | None) -> str | None:
    """Give the sender's secret; `-` reads it from standard input, out of the shell's history."""
    return sys.stdin.readline().strip() if given == documents.STDIN else given


def _source(name: str, *, make: bool) -> str:
    with connecting.to(Sources) as ingest:
        known = ingest.list()
        if make and not any(it.name == name for it in known):
            return ingest.create(name).id
        return sources.choose(known, name).id
