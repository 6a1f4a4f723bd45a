"""The command `clm replay` and its options; what it does is in `cli.replay`."""

from __future__ import annotations

from typing import Annotated

import typer


def replay(  # noqa: PLR0913 - the options of one command
    *,
    swap: Annotated[
        bool, typer.Option("--swap", help="Mend whoever differs, and publish the corrections.")
    ] = False,
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", help="Only this person: their user id, or any identifier."),
    ] = None,
    partition: Annotated[
        list[int] | None, typer.Option("--partition", help="Only this partition's people.")
    ] = None,
    workspace: Annotated[
        str | None, typer.Option("--workspace", help="Only this workspace's people.")
    ] = None,
    examples: Annotated[int, typer.Option("--examples", help="How many to show.")] = 10,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, though a run was broken off.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Rebuild everybody from the stored history beside what is live, and say who differs.

    Live traffic goes on. Broken off, the same command goes on. Ends with 1 where somebody differs
    and was not mended.
    """
    from clm_local.cli import replay as command

    arguments = [f"--examples={examples}", *(f"--partition={it}" for it in partition or ())]
    arguments += [] if workspace is None else [f"--workspace={workspace}"]
    arguments += [*(["--swap"] if swap else []), *(["--json"] if json else [])]
    command.run(profile or (), arguments, restart=restart)
