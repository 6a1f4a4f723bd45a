"""The commands of `clm webhook` and their options; what they do is in `cli.webhook`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

webhook = typer.Typer(help="Where stage changes are delivered to.", no_args_is_help=True)

WebhookName = Annotated[
    str, typer.Argument(help="Its name or the beginning of its id; see `clm webhook list`.")
]


class State(StrEnum):
    """How a delivery stands."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    DEAD = "dead"


@webhook.command("create")
def webhook_create(  # noqa: PLR0913 - the options of one command
    name: Annotated[str, typer.Argument(help="What to call it.")],
    url: Annotated[str, typer.Argument(help="Where to deliver to.")],
    *,
    lifecycle: Annotated[
        str | None, typer.Option("--lifecycle", help="Only this lifecycle's changes.")
    ] = None,
    source: Annotated[
        list[str] | None, typer.Option("--from", help="Only what leaves this stage; repeatable.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option("--to", help="Only what enters this stage; repeatable.")
    ] = None,
    retracted: Annotated[
        bool, typer.Option("--retracted/--no-retracted", help="Corrections, too.")
    ] = True,
    historical: Annotated[
        bool, typer.Option("--historical", help="What follows from imported history, too.")
    ] = False,
) -> None:
    """Deliver stage changes to an endpoint from now on; the secret is shown once."""
    from clm_local.cli import webhook as command

    filter_ = {
        "lifecycle": lifecycle,
        "sources": source or [],
        "targets": target or [],
        "retracted": retracted,
        "historical": historical,
    }
    command.create(name, url, filter_)


@webhook.command("list")
def webhook_list() -> None:
    """List the webhooks."""
    from clm_local.cli import webhook as command

    command.list_all()


@webhook.command("rotate")
def webhook_rotate(
    name: WebhookName,
    *,
    grace: Annotated[
        int, typer.Option("--grace", min=0, help="Seconds for which the present one signs, too.")
    ] = 86_400,
) -> None:
    """Give a webhook a new secret."""
    from clm_local.cli import webhook as command

    command.rotate(name, grace)


@webhook.command("disable")
def webhook_disable(
    name: WebhookName,
    *,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Deliver nothing from now on."""
    from clm_local.cli import webhook as command

    command.disable(name, yes=yes)


@webhook.command("enable")
def webhook_enable(name: WebhookName) -> None:
    """Go on where a disabled webhook stopped."""
    from clm_local.cli import webhook as command

    command.enable(name)


@webhook.command("test")
def webhook_test(name: WebhookName) -> None:
    """Send a signed event to try the endpoint out."""
    from clm_local.cli import webhook as command

    command.test(name)


@webhook.command("deliveries")
def webhook_deliveries(
    name: WebhookName,
    *,
    state: Annotated[State | None, typer.Option("--state", help="Only those.")] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, max=1000, help="How many at most.")
    ] = 20,
) -> None:
    """List the newest deliveries, and how their last tries went."""
    from clm_local.cli import webhook as command

    command.deliveries(name, None if state is None else state.value, limit)


@webhook.command("replay")
def webhook_replay(
    name: WebhookName,
    ids: Annotated[
        list[int] | None, typer.Argument(help="Which; all that are dead if left out.")
    ] = None,
) -> None:
    """Try dead deliveries anew."""
    from clm_local.cli import webhook as command

    command.replay(name, ids or [])
