"""What cannot be right in a lifecycle, found before it is used.

Every problem says where it is and what to do; `check` finds them all, unless a stage is misnamed:
then the rest would only repeat it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from clm_stage_engine.core import logic
from clm_stage_engine.core.condition import AllOf, AnyOf, Condition, Not
from clm_stage_engine.core.leaf import Leaf, Undecidable
from clm_stage_engine.core.lifecycle import (
    ANY,
    Draft,
    Move,
    Rule,
    moves,
    stage_names,
    stages_of,
)
from clm_stage_engine.core.timing import Dwell, Silence

Located = tuple[tuple[str | int, ...], AllOf]


class Fault(NamedTuple):
    """Something that cannot be right.

    Attributes:
        slug: a stable name.
        at: where in the definition, for example `("moves", 2, "to")`.
        message: what is wrong and what to do.
    """

    slug: str
    at: tuple[str | int, ...]
    message: str


def check(draft: Draft) -> list[Fault]:
    """Give everything that cannot be right, in the order in which it is written."""
    misnamed = [*_stages(draft), *_names(draft), *_negations(draft)]
    if misnamed:
        return misnamed
    numbered = moves(draft)
    impossible = [*_impossible(draft)]
    known = {it.at[1] for it in impossible}
    return [
        *impossible,
        *_dead([it for it in numbered if it[0] not in known]),
        *_shadowed(numbered),
        *_ambiguous(draft, numbered),
        *_unreachable(draft),
        *_endless(numbered),
    ]


def _stages(draft: Draft) -> Iterator[Fault]:
    seen: set[str] = set()
    for number, stage in enumerate(draft.stages):
        for name in (stage.key, *stage.aliases):
            if name in seen:
                message = f"stage name {name!r} is taken already; names and aliases are unique"
                yield Fault("lifecycle.stage_repeated", ("stages", number), message)
            seen.add(name)


def _names(draft: Draft) -> Iterator[Fault]:
    known = stage_names(draft.stages)
    if draft.start not in known:
        yield _unknown(draft.start, ("start",), known)
    for number, rule in enumerate(draft.rules):
        at = ("moves", number)
        if rule.target not in known:
            yield _unknown(rule.target, (*at, "to"), known)
        asked = (it for it in stages_of(rule.when) if it not in known)
        yield from (_unknown(it, (*at, "when"), known) for it in asked)
        if rule.sources != (ANY,):
            yield from _sources(rule, at, known)


def _sources(rule: Rule, at: tuple[str | int, ...], known: Mapping[str, str]) -> Iterator[Fault]:
    for place, source in enumerate(rule.sources):
        if source not in known:
            yield _unknown(source, (*at, "from", place), known)
        elif known[source] == known.get(rule.target):
            message = f"a move from {source!r} to itself changes nothing; leave it out"
            yield Fault("lifecycle.move_to_itself", (*at, "from", place), message)
        elif known[source] in {known.get(it) for it in rule.sources[:place]}:
            message = f"stage {source!r} is listed twice; keep one"
            yield Fault("lifecycle.stage_repeated", (*at, "from", place), message)


def _unknown(name: str, at: tuple[str | int, ...], known: Mapping[str, str]) -> Fault:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    advice = f"did you mean {close[0]!r}?" if close else f"the stages are {', '.join(known)}"
    return Fault("lifecycle.stage_unknown", at, f"unknown stage {name!r}; {advice}")


def _negations(draft: Draft) -> Iterator[Fault]:
    for number, rule in enumerate(draft.rules):
        try:
            logic.normal(rule.when)
        except Undecidable as error:
            yield Fault("lifecycle.undecidable", ("moves", number, "when"), str(error))


def _impossible(draft: Draft) -> Iterator[Fault]:
    """Find parts of conditions that exclude each other, whatever a customer does."""
    for number, rule in enumerate(draft.rules):
        for at, part in _parts(rule.when, ("moves", number, "when")):
            pair = logic.contradiction(logic.normal(part))
            if pair is not None:
                one, other = (_told(it) for it in pair)
                message = f"can never hold: {one} and {other} exclude each other; correct one"
                yield Fault("lifecycle.impossible", at, message)
                break


def _parts(condition: Condition, at: tuple[str | int, ...]) -> Iterator[Located]:
    """Give the choices of a condition, the innermost first, and where they stand."""
    if isinstance(condition, AllOf | AnyOf):
        key = "all" if isinstance(condition, AllOf) else "any"
        for place, part in enumerate(condition.parts):
            yield from _parts(part, (*at, key, place))
    if isinstance(condition, AllOf):
        yield at, condition


def _told(condition: Condition) -> str:
    if isinstance(condition, Not):
        return f"not {_told(condition.part)}"
    return condition.told() if isinstance(condition, Leaf) else "a choice"


def _ambiguous(draft: Draft, numbered: tuple[tuple[int, Move], ...]) -> Iterator[Fault]:
    """Find moves whose equal priority leaves open which of two is taken."""
    priority = {number: it.priority for number, it in enumerate(draft.rules)}
    for place, (number, move) in enumerate(numbered):
        for earlier, other in numbered[:place]:
            if priority[number] is None or priority[number] != priority[earlier]:
                continue
            if other.source == move.source and other.target != move.target and _meet(other, move):
                message = (
                    f"moves[{earlier}] to {other.target!r} has the same priority and may hold at "
                    f"the same moment in stage {move.source!r}; give one of them another priority"
                )
                yield Fault("lifecycle.ambiguous", ("moves", number, "priority"), message)
                break


def _meet(one: Move, other: Move) -> bool:
    """Tell whether one touchpoint or one deadline could make both hold."""
    together = AllOf((one.when, other.when))
    if logic.contradiction(together) is not None:
        return False
    events = {*logic.triggers(one.when), *logic.triggers(other.when)}
    both = any(logic.may_hold(together, *it) for it in events)
    return both or bool(logic.waits(one.when) and logic.waits(other.when))


def _dead(numbered: Iterable[tuple[int, Move]]) -> Iterator[Fault]:
    reported: set[int] = set()
    for number, move in numbered:
        if number not in reported and not (logic.triggers(move.when) or logic.waits(move.when)):
            reported.add(number)
            message = (
                "no touchpoint and no deadline can ever make this hold; "
                "name the event, silence or stage age that should bring it about"
            )
            yield Fault("lifecycle.move_dead", ("moves", number, "when"), message)


def _shadowed(numbered: tuple[tuple[int, Move], ...]) -> Iterator[Fault]:
    for place, (number, move) in enumerate(numbered):
        for earlier, other in numbered[:place]:
            if other.source == move.source and _always_first(other.when, move.when):
                yield _shadow(number, move, earlier, other)
                break


def _always_first(earlier: Condition, later: Condition) -> bool:
    """Tell whether the earlier move is taken whenever the later one could be."""
    if earlier == later:
        return True
    if not logic.implies(later, earlier):
        return False
    if isinstance(earlier, Silence | Dwell):  # false on entry, taken as soon as it is true
        return True
    looks = all(logic.considered(earlier, *it) for it in logic.triggers(later))
    return looks and not logic.waits(later)


def _shadow(number: int, move: Move, earlier: int, other: Move) -> Fault:
    at = ("moves", number)
    if other.target == move.target:
        message = f"repeats moves[{earlier}] for stage {move.source!r}; keep one of them"
        return Fault("lifecycle.move_repeated", at, message)
    message = (
        f"never taken: from {move.source!r}, moves[{earlier}] to {other.target!r} always comes "
        "first; put this one before it or make its condition differ"
    )
    return Fault("lifecycle.move_shadowed", at, message)


def _unreachable(draft: Draft) -> Iterator[Fault]:
    known, steps = stage_names(draft.stages), moves(draft)
    reached, fresh = set[str](), {known[draft.start]}
    while fresh:
        reached |= fresh
        fresh = {it.target for _, it in steps if it.source in reached} - reached
    for number, stage in enumerate(draft.stages):
        if stage.key not in reached:
            message = f"no move leads from {draft.start!r} to stage {stage.key!r}; add one"
            yield Fault("lifecycle.stage_unreachable", ("stages", number), message)


def _endless(numbered: Iterable[tuple[int, Move]]) -> Iterator[Fault]:
    """Find circles that a silent profile would go round for ever."""
    quiet = [it for it in numbered if _recurs(it[1].when)]
    for number, move in quiet:
        reached, fresh = set[str](), {move.target}
        while fresh:
            reached |= fresh
            fresh = {it.target for _, it in quiet if it.source in reached} - reached
        if move.source in reached:
            message = (
                f"a silent profile would go round from {move.source!r} to {move.target!r} and back "
                "for ever; let one of these moves need a touchpoint"
            )
            yield Fault("lifecycle.circle", ("moves", number), message)
            return


def _recurs(when: Condition) -> bool:
    """Tell whether time alone may bring it about again and again; windows run empty once."""
    timed = any(leaf.recurs for leaf in logic.waits(when))
    return timed and logic.may_last(when)
