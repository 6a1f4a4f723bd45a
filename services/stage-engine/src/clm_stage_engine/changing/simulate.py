"""`python -m clm_stage_engine.changing.simulate FILE --events FILE.ndjson` tries a lifecycle out.

It asks no server and no clock: the same definition, events and instant give the same bytes, in
whatever order the events stand. It ends with 65 where the definition or an event cannot be right.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from clm_common.contracts.ids import profile_id
from clm_common.errors import DefinitionError
from clm_common.instant import from_rfc3339, to_datetime, to_rfc3339
from clm_stage_engine.changing import events, files
from clm_stage_engine.changing.validate import WRONG
from clm_stage_engine.core.explain import Alternative, Guard, Prospect
from clm_stage_engine.core.simulating import Walk, Walked, simulate

_INSTANTS: Final = frozenset({"at", "since", "due"})
"""Fields in µs, written as RFC 3339."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Try out what the command line says; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m clm_stage_engine.changing.simulate")
    parser.add_argument("file", metavar="FILE", help="the definition; - reads stdin")
    parser.add_argument("--events", required=True, metavar="FILE", help="NDJSON, Segment's form")
    parser.add_argument("--until", type=_instant, metavar="TIME", help="default: the last event")
    parser.add_argument("--source", default="simulation", help="who sent the events")
    parser.add_argument("--channels", type=Path, action="append", default=[], metavar="FOLDER")
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each person")
    given = parser.parse_args(arguments)
    try:
        lifecycle = files.read(given.file, given.channels)
        found = events.read(_lines(given.events), given.events, given.source)
    except DefinitionError as error:
        sys.stderr.write(f"{error}\n")
        return WRONG
    until = given.until if given.until is not None else max((it.time for it in found), default=0)
    for walk in simulate(lifecycle, found, until, profile_id):
        if given.json:
            sys.stdout.write(msgspec.json.encode(_named(walk)).decode() + "\n")
        else:
            sys.stdout.write("\n".join(_written(walk, until)) + "\n\n")
    return 0


def _instant(text: str) -> int:
    return from_rfc3339(text)


def _lines(file: str) -> list[bytes]:
    try:
        return Path(file).read_bytes().splitlines()
    except OSError as error:
        raise DefinitionError("event.unreadable", f"{file}: not readable: {error}") from error


def _named(value: object) -> object:
    """Give a value as JSON has it: every field by name, instants as text."""
    if isinstance(value, msgspec.Struct):
        fields = {it: getattr(value, it) for it in value.__struct_fields__}
        return {name: _field(name, it) for name, it in fields.items()}
    return [_named(it) for it in value] if isinstance(value, tuple) else value


def _field(name: str, value: object) -> object:
    if name in _INSTANTS and isinstance(value, int):
        return to_rfc3339(value)
    return _named(value)


def _written(walk: Walk, until: int) -> Iterator[str]:
    yield f"{walk.person}, {walk.events} events"
    for it in walk.timeline:
        yield from _change(it)
    yield f"  {_time(until)}  {walk.stage} since {_time(walk.since)}"
    for move in walk.ahead:
        yield f"      {_ahead(move)}"


def _change(it: Walked) -> Iterator[str]:
    why = it.why
    way = it.target if it.source is None else f"{it.source} > {it.target}"
    by = "a deadline" if why.cause is None else why.cause
    yield f"  {_time(why.at)}  {way}  ({why.move}, by {by})"
    if why.author is not None:
        yield f"      {why.author}: {why.reason}"
    for guard in why.guards:
        yield f"      {'is' if guard.holds else 'not'} {_guard(guard)}"
    for near in why.nearest:
        if near.unmet:
            yield f"      not {near.target}, for want of: {_lacking(near)}"


def _ahead(it: Prospect) -> str:
    if it.due is not None:
        return f"on {_time(it.due)} to {it.target} if nothing happens before ({it.move})"
    wanting = f", for want of: {_lacking(it)}" if it.unmet else ", at the next event it is tried at"
    return f"not yet to {it.target}{wanting}"


def _lacking(it: Alternative) -> str:
    return "; ".join(map(_guard, it.unmet))


def _guard(it: Guard) -> str:
    return f"{it.condition} ({it.value})"


def _time(micros: int) -> str:
    return f"{to_datetime(micros):%Y-%m-%d %H:%M:%S}"


if __name__ == "__main__":
    sys.exit(main())
