"""The commands of `clm quarantine` and their options; what they do is in `cli.quarantine`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

quarantine = typer.Typer(
    help="Touchpoints that were refused: list, show, and send once more.", no_args_is_help=True
)

LetterId = Annotated[str, typer.Argument(help="Its id; see `clm quarantine list`.")]
Reason = Annotated[
    str | None,
    typer.Option("--reason", help="Only those refused for it, such as touchpoint.malformed."),
]
SourceOf = Annotated[
    str | None, typer.Option("--source", help="Only those of a source: its name or id.")
]
MessageId = Annotated[
    str | None, typer.Option("--message-id", help="Only those with this message id.")
]
Since = Annotated[
    str | None,
    typer.Option("--since", help="Only those refused since then, such as 2026-11-25T10:00:00Z."),
]


class State(StrEnum):
    """Whether letters were replayed."""

    OPEN = "open"
    REPLAYED = "replayed"
    ALL = "all"


@quarantine.command("list")
def quarantine_list(  # noqa: PLR0913 - the options of one command
    *,
    reason: Reason = None,
    source: SourceOf = None,
    message_id: MessageId = None,
    since: Since = None,
    state: Annotated[State, typer.Option("--state", help="Whether replayed.")] = State.OPEN,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many.")] = 50,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what was refused, newest first."""
    from clm_local.cli import quarantine as command

    wanted = command.wanted_of(reason=reason, source=source, message_id=message_id, since=since)
    command.show_list(wanted, state=state.value, limit=limit, as_json=json)


@quarantine.command("show")
def quarantine_show(letter: LetterId) -> None:
    """Say why something was refused, and print it as it was sent."""
    from clm_local.cli import quarantine as command

    command.show(letter)


@quarantine.command("replay")
def quarantine_replay(  # noqa: PLR0913 - the options of one command
    letter: Annotated[str | None, typer.Argument(help="The id of one; or name which.")] = None,
    *,
    reason: Reason = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            help="Only those of a source; with an id, the source it is from if it does not say.",
        ),
    ] = None,
    message_id: MessageId = None,
    since: Since = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Whatever was not replayed yet.")
    ] = False,
    body: Annotated[
        str | None,
        typer.Option(
            "--body", help="With an id: a file with the mended event or body; - reads stdin."
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Send what was refused once more, after a fix; it counts once however often it is sent."""
    from clm_local.cli import quarantine as command

    if letter is not None:
        command.replay_one(letter, body=body, source=source)
        return
    wanted = command.wanted_of(reason=reason, source=source, message_id=message_id, since=since)
    if body is not None or bool(wanted) is everything:
        message = "Name one id (then --body may mend it), or filters such as --reason, or --all."
        raise typer.BadParameter(message)
    command.replay_all(wanted, yes=yes)
