"""`clm profile`: one person: shown, explained, moved by hand, exported."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Final
from uuid import UUID, uuid4

import typer
from rich.markup import escape

from clm_local.cli import connecting, screen
from clm_local.people import (
    Alternative,
    Guard,
    Outlook,
    People,
    Profile,
    Prospect,
    Receipt,
    Touchpoint,
    Transition,
)

_LOOK: Final = 0.5  # seconds between two looks at a receipt


def show(person: str, newest: int, *, as_json: bool) -> None:
    """Show a person and what they did lately."""
    with connecting.to(People) as engine:
        found = engine.profile(person)
        touchpoints = engine.touchpoints(found.id, newest) if newest else []
    if as_json:
        screen.document({"profile": found, "touchpoints": touchpoints})
        return
    screen.out.print(*_shown(found), *map(_done, touchpoints), sep="\n")


def _shown(it: Profile) -> list[str]:
    """Say in lines who somebody is and where they stand; ids can be given to any command."""
    ids = [f"user_id:{it.user_id}"] if it.user_id else []
    ids += [f"anonymous_id:{each}" for each in it.anonymous_ids]
    lines = [f"[bold]{escape(' '.join(ids))}[/]", f"    profile {it.id}"]
    for key, place in it.lifecycles.items():
        lines.append(f"    [bold]{place.stage}[/] in {key} since {place.since:%Y-%m-%d %H:%M}")
    if it.first_seen and it.last_seen:
        seen = f"{it.first_seen:%Y-%m-%d %H:%M} to {it.last_seen:%Y-%m-%d %H:%M}"
        lines.append(f"    {it.touchpoints:,} touchpoints, {seen}")
    return lines


def _done(it: Touchpoint) -> str:
    """Say a touchpoint in a line."""
    via = " ".join(each for each in (it.channel, it.campaign) if each)
    late = "  too late to count" if it.late else ""
    what = f"{escape(it.event or it.type)}  [dim]{escape(via)}{late}[/]"
    return f"[bold]{it.at:%Y-%m-%d %H:%M}[/]  {what}"


def explain(person: str, *, as_json: bool) -> None:
    """Say why a person is in their stage, and what could move them on."""
    with connecting.to(People) as engine:
        found = engine.explain(engine.find(person))
    if as_json:
        screen.document(found)
        return
    for it in found.transitions:
        screen.out.print(*told(it), sep="\n")
    if found.outlook is not None:
        screen.out.print(*_ahead(found.outlook), sep="\n")


def move(person: str, stage: str, reason: str) -> None:
    """Move a person to a stage by hand."""
    with connecting.to(People) as engine:
        made = engine.move(engine.find(person), stage, reason, uuid4().hex)
    screen.out.print(
        f"{escape(person)} is in [bold]{made.to}[/] from {made.at:%Y-%m-%d %H:%M} on, "
        f"as {escape(made.author)} decided."
    )


def told(it: Transition) -> list[str]:
    """Say a transition and its reasons in lines."""
    by = escape(it.cause) if it.cause else "a deadline"
    head = f"[bold]{it.at:%Y-%m-%d %H:%M}[/]  {it.source or '∅'} → [bold]{it.target}[/]"
    lines = [f"{head}  [dim]{escape(it.move)}, by {by}[/]"]
    if it.why is None:
        return lines
    if it.why.author is not None:
        lines.append(f"    {escape(it.why.author)}: {escape(it.why.reason or '')}")
    lines += [_guard(guard) for guard in it.why.guards]
    lines += [_alternative(near) for near in it.why.nearest if near.unmet]
    return lines


def _ahead(outlook: Outlook) -> list[str]:
    lines = [f"[bold]now[/]  {outlook.stage}"]
    if outlook.next is not None:
        due = f"{outlook.next.due:%Y-%m-%d %H:%M}"
        lines[0] += f" → {outlook.next.target} on {due} if nothing happens before"
    return lines + [_prospect(it) for it in outlook.moves]


def _prospect(it: Prospect) -> str:
    if it.unmet or not it.at:
        return _alternative(it)
    return f"    [dim]{it.target}: at the next {escape(' or '.join(it.at))}[/]"


def _alternative(it: Alternative) -> str:
    lacking = "; ".join(f"{guard.condition} (is {guard.value})" for guard in it.unmet)
    return f"    [dim]not {it.target}: {escape(lacking)}[/]"


def _guard(it: Guard) -> str:
    return f"    {screen.GOOD if it.holds else '[dim]-[/]'} {escape(it.condition)}: {it.value}"


def export(person: str, out: Path | None) -> None:
    """Write everything that is kept of a person to a file, or to standard output."""
    with connecting.to(People) as engine:
        pieces = engine.export(engine.find(person))
        if out is None:
            sys.stdout.buffer.writelines(pieces)
            return
        part = out.with_name(f"{out.name}.part")
        with part.open("wb") as file:
            file.writelines(pieces)
        part.replace(out)
    screen.err.print(f"{out.stat().st_size:,} bytes in {out}")


def erase(person: str, reason: str, *, sure: bool, seconds: float) -> None:
    """Erase somebody everywhere, and show the receipt.

    Ends with exit code 75 where a store has not confirmed in time: the erasure goes on.
    """
    with connecting.to(People) as engine:
        profile = engine.find(person)
        if not sure and not typer.confirm(f"Erase everything of {person}, for ever?"):
            raise typer.Exit(1)
        found = engine.erase(profile, reason)
        until = time.monotonic() + seconds
        while not (found.state == "erased" and found.topics) and time.monotonic() < until:
            time.sleep(_LOOK)
            found = engine.receipt(found.id)
    screen.out.print(*_receipt(found), sep="\n")
    if found.state != "erased":
        screen.err.print(f"not all have confirmed yet; see `clm profile receipt {found.id}`")
        raise typer.Exit(75)


def receipt(erasure: UUID, *, as_json: bool) -> None:
    """Show what became of an erasure."""
    with connecting.to(People) as engine:
        found = engine.receipt(erasure)
    if as_json:
        screen.document(found)
        return
    screen.out.print(*_receipt(found), sep="\n")


def _receipt(it: Receipt) -> list[str]:
    lines = [f"[bold]{it.id}[/]  {it.state}"]
    if it.profiles is not None:
        lines[0] += f"; {it.profiles} profile(s), {it.touchpoints} touchpoints"
    for store in it.stores:
        done = f"{store.done_at:%Y-%m-%d %H:%M:%S}" if store.done_at else "not yet"
        lines.append(f"    {screen.GOOD if store.done_at else '[dim]-[/]'} {store.service}: {done}")
    for topic in it.topics:
        clean = f"clean by {topic.clean_by:%Y-%m-%d}" if topic.clean_by else "never deletes"
        clean = "sealed, read by nobody any more" if topic.sealed else clean
        lines.append(f"    {escape(topic.topic)}: {clean}")
    return lines
