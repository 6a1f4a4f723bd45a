"""The commands of `clm journey` and their options; what they do is in `cli.journey`."""

from __future__ import annotations

from typing import Annotated

import typer

journey = typer.Typer(help="The river of facts that the other services read.", no_args_is_help=True)


@journey.callback()
def _group() -> None:
    """Keep the name of the one command."""


@journey.command("republish")
def journey_republish(
    *,
    to: Annotated[
        str, typer.Option("--to", metavar="TOPIC", help="Where to; made if it is not there.")
    ],
    workspace: Annotated[
        str | None, typer.Option("--workspace", help="Only this workspace's facts.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a copy that was broken off.")
    ] = False,
) -> None:
    """Copy the river to a topic of its own, and say where a subscriber goes on with the live one.

    Progress goes to standard error, the offsets of `clm.journey` to standard output as JSON.
    """
    from clm_local.cli import journey as command

    command.republish(to, workspace=workspace, resume=resume)
