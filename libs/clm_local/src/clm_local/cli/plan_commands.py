"""The commands of `clm plan` and their options; what they do is in `cli.plan`."""

from __future__ import annotations

from typing import Annotated

import typer

plan = typer.Typer(
    help="Tracking plans: which events are meant to be sent, and what they must look like.",
    no_args_is_help=True,
)

OfSource = Annotated[
    str | None,
    typer.Option("--source", help="A source's own, by its name or id; else the workspace's."),
]


@plan.command("set")
def plan_set(
    file: Annotated[str, typer.Argument(help="The plan, YAML or JSON; - reads stdin.")],
    *,
    source: OfSource = None,
) -> None:
    """Set the plan that events are held against."""
    from clm_local.cli import plan as command

    command.put(file, source)


@plan.command("show")
def plan_show(*, source: OfSource = None) -> None:
    """Print a plan as YAML."""
    from clm_local.cli import plan as command

    command.show(source)


@plan.command("list")
def plan_list() -> None:
    """List all plans."""
    from clm_local.cli import plan as command

    command.list_all()


@plan.command("delete")
def plan_delete(
    *,
    source: OfSource = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove a plan."""
    from clm_local.cli import plan as command

    command.delete(source, yes=yes)


@plan.command("violations")
def plan_violations(
    *,
    source: Annotated[str | None, typer.Option("--source", help="Only of a source.")] = None,
    event: Annotated[str | None, typer.Option("--event", help="Only of an event.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many.")] = 50,
    reset: Annotated[bool, typer.Option("--reset", help="Begin counting anew.")] = False,
) -> None:
    """Show what violates plans, the most frequent first."""
    from clm_local.cli import plan as command

    command.violations(source, event, limit=limit, reset=reset)


@plan.command("infer")
def plan_infer(
    *,
    source: Annotated[str | None, typer.Option("--source", help="Only of a source.")] = None,
    last: Annotated[
        int | None,
        typer.Option("--last", min=1, help="Look at so many of the newest. Default: 100000."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Look at those received since, 2026-11-25T10:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="And before.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of YAML.")] = False,
) -> None:
    """Propose a plan from what was seen; nothing is set by it."""
    from clm_local.cli import plan as command

    ranged = since is not None or until is not None
    newest = last or (None if ranged else 100_000)
    command.infer(source=source, last=newest, since=since, until=until, as_json=json)
