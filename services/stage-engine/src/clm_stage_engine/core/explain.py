"""Why a profile changed its stage, and what it would have taken to go elsewhere.

An explanation is a pure function of the lifecycle and of what the move was judged by (the change's
`moment`), so explaining again gives the same record.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from clm_stage_engine.core import logic
from clm_stage_engine.core.condition import Condition
from clm_stage_engine.core.deadlines import first
from clm_stage_engine.core.fold import Change, Kind, State
from clm_stage_engine.core.leaf import Leaf, Moment
from clm_stage_engine.core.lifecycle import Lifecycle, Move
from clm_stage_engine.core.manual import by_hand
from clm_stage_engine.core.told import Told

NEAREST: Final = 3
"""Alternatives that are told, at most."""

Value = int | float | str | bool | None


class Guard(Struct, frozen=True, array_like=True):
    """One part of a condition, as it stood.

    Attributes:
        condition: the part in words.
        value: what was compared: a count, a sum, a time passed; else whether it held.
        holds: whether it held.
    """

    condition: str
    value: Value
    holds: bool


class Alternative(Struct, frozen=True, array_like=True):
    """A move that was not taken.

    Attributes:
        move: its name.
        target: where it leads.
        met: parts of its condition that held, on the way that lacked least.
        unmet: those that did not; empty where another move came first.
    """

    move: str
    target: str
    met: int
    unmet: tuple[Guard, ...]


class Prospect(Alternative, frozen=True):
    """A move that lies ahead.

    Attributes:
        due: when time alone would make it hold, µs; None where it cannot.
        at: the touchpoints at which it is looked at, by name; where nothing is lacking, the next
            of them takes it.
    """

    due: int | None
    at: tuple[str, ...]


class Explanation(Struct, frozen=True, array_like=True):
    """Why a stage was entered.

    Attributes:
        lifecycle: the definition's key.
        definition: its digest.
        move: the rule's name.
        kind: what brought it about.
        at: when, µs.
        cause: the touchpoint's id; None for a deadline, which fell due at `at`.
        guards: every part of the rule's condition.
        nearest: the moves that lacked least, those that lacked less first.
        reason: why, where somebody moved the profile by hand.
        author: who that was.
    """

    lifecycle: str
    definition: str
    move: str
    kind: Kind
    at: int
    cause: str | None
    guards: tuple[Guard, ...]
    nearest: tuple[Alternative, ...]
    reason: str | None = None
    author: str | None = None


_pack: Final = msgspec.msgpack.Encoder(order="deterministic").encode
_unpack: Final = msgspec.msgpack.Decoder(Explanation).decode


def pack(explanation: Explanation) -> bytes:
    """Write an explanation; equal ones give equal bytes."""
    return _pack(explanation)


def unpack(data: bytes) -> Explanation:
    """Read what `pack` wrote."""
    return _unpack(data)


def record(lifecycle: Lifecycle, change: Change) -> bytes | None:
    """Give what is stored to explain a change; None at the start, which nothing decided."""
    return None if change.kind == "start" else pack(explain(lifecycle, change))


def explain(lifecycle: Lifecycle, change: Change) -> Explanation:
    """Explain a change that the fold gave."""
    moment = change.moment
    guards: tuple[Guard, ...] = ()
    others: list[Alternative] = []
    taken = False
    leaving = lifecycle.told.get(change.source or "", ()) if change.kind != "mapped" else ()
    for move, said in leaving:
        found = _guards(said, moment)
        if not taken and _is(move, change) and move.when.holds(moment):
            taken, guards = True, found
        else:
            others.append(_alternative(move, said, found))
    decision = by_hand(moment.touch.body) if change.kind == "manual" and moment.touch else None
    return Explanation(
        lifecycle=lifecycle.key,
        definition=lifecycle.digest,
        move=change.move,
        kind=change.kind,
        at=change.at,
        cause=change.cause,
        guards=guards,
        nearest=_nearest(others),
        reason=decision.reason if decision else None,
        author=decision.author if decision else None,
    )


def outlook(lifecycle: Lifecycle, state: State, now: int) -> tuple[Prospect, ...]:
    """Tell what a profile lacks, at an instant (µs), for every move that leaves its stage."""
    moment = Moment(now, state.stage_since, state.facts, None)
    waits = lifecycle.nodes[state.stage].waits
    found: list[Prospect] = []
    for move, said in lifecycle.told[state.stage]:
        wait = next((it for it in waits if it.move is move), None)
        due = None if wait is None else first(wait, moment)
        at = tuple(event or type_ for type_, event in logic.triggers(move.when))
        lacks = _alternative(move, said, _guards(said, moment))
        found.append(Prospect(lacks.move, lacks.target, lacks.met, lacks.unmet, due, at))
    return tuple(sorted(found, key=_lack))


def _is(move: Move, change: Change) -> bool:
    return move.target == change.target and move.name == change.move


def _guards(said: Told, moment: Moment) -> tuple[Guard, ...]:
    return tuple(_guard(part, words, moment) for part, words in said.parts)


def _guard(part: Condition, words: str, moment: Moment) -> Guard:
    holds = part.holds(moment)
    return Guard(words, part.value(moment) if isinstance(part, Leaf) else holds, holds)


def _alternative(move: Move, said: Told, guards: tuple[Guard, ...]) -> Alternative:
    ways = [[guards[place] for place in way] for way in said.ways]
    lacking = [tuple(it for it in way if not it.holds) for way in ways]
    best = min(range(len(ways)), key=lambda number: len(lacking[number]))
    unmet = lacking[best]
    return Alternative(move.name, move.target, len(ways[best]) - len(unmet), unmet)


def _nearest(found: Iterable[Alternative]) -> tuple[Alternative, ...]:
    return tuple(sorted(found, key=_lack)[:NEAREST])


def _lack(it: Alternative) -> tuple[int, int]:
    """Rank alternatives: those that lack less first, and of these those that have more."""
    return len(it.unmet), -it.met
