"""`clm profile merge|unmerge|split|merges`: who is one person, and who decided so."""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid4

from rich.markup import escape

from clm_local.cli import connecting, screen
from clm_local.people import Decision, People


def merge(person: str, other: str, reason: str) -> None:
    """Merge another person into one."""
    with connecting.to(People) as engine:
        body = {"other": str(engine.find(other)), "reason": reason}
        made = engine.decide(engine.find(person), "merge", body, uuid4().hex)
    screen.out.print(f"{escape(other)} is one person with [bold]{escape(person)}[/] now.")
    screen.out.print(f"[dim]clm profile unmerge {escape(person)} {made.id} --reason …[/]")


def unmerge(person: str, decision: UUID, reason: str) -> None:
    """Take a decision about a person back."""
    with connecting.to(People) as engine:
        body = {"decision": str(decision), "reason": reason}
        made = engine.decide(engine.find(person), "unmerge", body, uuid4().hex)
    screen.out.print(f"Taken back: {_names(made)} are as they were before.")


def split(person: str, identifier: str, reason: str) -> None:
    """Take an identifier off a person."""
    with connecting.to(People) as engine:
        body = {"identifier": identifier, "reason": reason}
        engine.decide(engine.find(person), "split", body, uuid4().hex)
    screen.out.print(f"{escape(identifier)} has a profile of its own now.")


def merges(person: str, *, as_json: bool) -> None:
    """List the decisions about a person."""
    with connecting.to(People) as engine:
        found = engine.decisions(engine.find(person))
    if as_json:
        screen.document(found)
        return
    for it in found:
        screen.out.print(*told(it), sep="\n")


def told(it: Decision) -> list[str]:
    """Say a decision in lines."""
    fate = "taken back" if it.undone_by else it.without_effect
    note = f"  [dim]{escape(fate)}[/]" if fate else ""
    head = f"[bold]{it.at:%Y-%m-%d %H:%M}[/]  {it.kind}: {_names(it)}{note}"
    said = escape(it.reason or _CALLS.get(it.kind, "erased"))
    return [head, f"    {escape(it.author or it.cause)}: {said}", f"    [dim]{it.id}[/]"]


_CALLS: Final = {"alias": "an alias call", "match": "an identify call"}
"""What decides without a reason."""


def _names(it: Decision) -> str:
    return ", ".join(escape(f"{one.kind}:{one.value}") for one in it.identifiers)
