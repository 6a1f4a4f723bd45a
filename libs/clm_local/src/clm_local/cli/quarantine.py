"""`clm quarantine`: what was refused, why, and sending it once more."""

from __future__ import annotations

import base64
import sys
from collections import Counter

import msgspec
from rich.markup import escape
from rich.table import Table

from clm_local import documents, sources
from clm_local.cli import connecting, screen
from clm_local.errors import LocalError
from clm_local.quarantine import Outcome, Quarantine, Wanted
from clm_local.sources import Sources


def wanted_of(
    *, reason: str | None, source: str | None, message_id: str | None, since: str | None
) -> Wanted:
    """Give what the options ask for; a source may be named as people call it."""
    given = {"reason": reason, "message_id": message_id, "since": since}
    if source is not None:
        given["source"] = _source(source)
    return {name: value for name, value in given.items() if value is not None}


def show_list(wanted: Wanted, *, state: str, limit: int, as_json: bool) -> None:
    """List letters, newest first."""
    with connecting.to(Quarantine) as ingest:
        found = ingest.list(wanted, state=state, limit=limit)
    if as_json:
        screen.document(found)
        return
    if not found:
        screen.out.print("Nothing is in the quarantine that fits.")
        return
    table = Table("refused at", "id", "reason", "message id", "", box=None, padding=(0, 2, 0, 0))
    for it in found:
        note = "replayed" if it.replayed_at else "truncated" if it.truncated else ""
        at = f"{it.at:%Y-%m-%d %H:%M:%S}"
        table.add_row(at, it.id, escape(it.reason), escape(it.message_id or ""), note)
    screen.out.print(table)


def show(letter: str) -> None:
    """Show one letter; its original goes to standard output as it was sent."""
    with connecting.to(Quarantine) as ingest:
        found = ingest.get(letter)
    told = msgspec.to_builtins(found)
    for name in ("original", "text"):
        told.pop(name)
    lines = [f"{name:<12} {value}" for name, value in told.items() if value not in (None, "")]
    screen.err.print(escape("\n".join(lines)))
    if found.original is None:
        raise LocalError("letter-gone", "Its original is not kept any more.")
    sys.stdout.flush()
    sys.stdout.buffer.write(base64.b64decode(found.original) + b"\n")


def replay_one(letter: str, *, body: str | None, source: str | None) -> None:
    """Replay one letter."""
    mended = None if body is None else documents.read_body(body)
    named = None if source is None else _source(source)
    with connecting.to(Quarantine) as ingest:
        outcome = ingest.replay(letter, body=mended, source=named)
    done = "was replayed before" if outcome.already else "is replayed"
    screen.out.print(f"{letter} {done}.")


def replay_all(wanted: Wanted, *, yes: bool) -> None:
    """Replay all that are wanted, and say what stays and why; ends with 1 if any does."""
    which = " ".join(f"{name} {value}" for name, value in wanted.items()) or "everything"
    screen.confirm(f"Send once more what was refused ({which})?", yes=yes)
    replayed, stay = 0, Counter[tuple[str, str]]()
    with connecting.to(Quarantine) as ingest, screen.err.status("replaying …") as status:
        for outcome in ingest.replay_all(wanted):
            replayed += len(outcome.replayed)
            stay.update(_reasons(outcome))
            status.update(f"{replayed} replayed, {stay.total()} stay …")
    screen.out.print(f"{replayed} replayed, {stay.total()} stay.")
    for (code, detail), count in stay.most_common(20):
        screen.out.print(f"  {count} of {escape(code)}: {escape(detail)}")
    if stay:
        raise SystemExit(1)


def _reasons(outcome: Outcome) -> list[tuple[str, str]]:
    return [(it.code, it.detail) for it in outcome.refused]


def _source(name: str) -> str:
    with connecting.to(Sources) as ingest:
        return sources.choose(ingest.list(), name).id
