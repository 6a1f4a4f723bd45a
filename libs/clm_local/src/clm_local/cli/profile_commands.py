"""The commands of `clm profile`; what they do is in `cli.profile` and `cli.merges`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

profile = typer.Typer(help="One person's data.", no_args_is_help=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Person = Annotated[str, typer.Argument(help="Their user id, or any identifier: anonymous_id:d-17.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stands in the list of decisions.")]


@profile.command("show")
def profile_show(
    person: Person,
    *,
    newest: Annotated[
        int, typer.Option("--newest", min=0, max=100, help="How many touchpoints.")
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Show a person: stages, identifiers, and what they did lately."""
    from clm_local.cli import profile as command

    command.show(person, newest, as_json=as_json)


@profile.command("explain")
def profile_explain(person: Person, *, as_json: AsJson = False) -> None:
    """Say why a person is in their stage, and what could move them on."""
    from clm_local.cli import profile as command

    command.explain(person, as_json=as_json)


@profile.command("move")
def profile_move(
    person: Person,
    stage: Annotated[str, typer.Argument(help="The stage, by key or alias.")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in their history.")],
) -> None:
    """Move a person to a stage by hand; conditions go on from there."""
    from clm_local.cli import profile as command

    command.move(person, stage, reason)


@profile.command("export")
def profile_export(
    person: Person,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The file to write; else standard output.")
    ] = None,
) -> None:
    """Write everything that is kept of a person, as one JSON document."""
    from clm_local.cli import profile as command

    command.export(person, out)


@profile.command("erase")
def profile_erase(
    person: Person,
    *,
    reason: Annotated[
        str, typer.Option("--reason", help="Why, for the receipt; name nobody in it.")
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for every store to confirm.")
    ] = 30.0,
) -> None:
    """Erase a person everywhere, for ever, and show the receipt."""
    from clm_local.cli import profile as command

    command.erase(person, reason, sure=yes, seconds=wait)


@profile.command("receipt")
def profile_receipt(
    erasure: Annotated[UUID, typer.Argument(help="The receipt's id.")], *, as_json: AsJson = False
) -> None:
    """Show what became of an erasure: each store, and when each topic is clean."""
    from clm_local.cli import profile as command

    command.receipt(erasure, as_json=as_json)


@profile.command("merge")
def profile_merge(
    person: Person,
    other: Annotated[str, typer.Argument(help="Who is the same person; any identifier.")],
    *,
    reason: Reason,
) -> None:
    """Merge another person into one: their history becomes one."""
    from clm_local.cli import merges as command

    command.merge(person, other, reason)


@profile.command("unmerge")
def profile_unmerge(
    person: Person,
    decision: Annotated[UUID, typer.Argument(help="Its id; see `clm profile merges`.")],
    *,
    reason: Reason,
) -> None:
    """Take back a merge, an alias or a split: everybody is restored."""
    from clm_local.cli import merges as command

    command.unmerge(person, decision, reason)


@profile.command("split")
def profile_split(
    person: Person,
    identifier: Annotated[str, typer.Argument(help="Such as anonymous_id:d-17.")],
    *,
    reason: Reason,
) -> None:
    """Give one identifier a profile of its own, such as a device that several people share."""
    from clm_local.cli import merges as command

    command.split(person, identifier, reason)


@profile.command("merges")
def profile_merges(person: Person, *, as_json: AsJson = False) -> None:
    """List who decided that somebody is one person with others, or not, and why."""
    from clm_local.cli import merges as command

    command.merges(person, as_json=as_json)
