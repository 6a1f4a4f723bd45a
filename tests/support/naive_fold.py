"""The fold as one would explain it: no facts, no table, the whole history looked at each time.

It is slow and shares no code with the real one except the written conditions; tests compare both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import combinations, pairwise
from typing import NamedTuple

from clm_common.instant import DAY
from clm_stage_engine.core.condition import AllOf, AnyOf, Condition, Event, Not
from clm_stage_engine.core.counting import Count
from clm_stage_engine.core.facts import Touch
from clm_stage_engine.core.knowing import Known
from clm_stage_engine.core.leaf import OPS, Leaf
from clm_stage_engine.core.lifecycle import Draft, Rule
from clm_stage_engine.core.localtime import Local
from clm_stage_engine.core.patterns import (
    Completes,
    PatternNeed,
    PauseNeed,
    StepsNeed,
)
from clm_stage_engine.core.predicate import Where
from clm_stage_engine.core.rhythm import Regular, Stopped
from clm_stage_engine.core.scoring import Score
from clm_stage_engine.core.selector import LEFT, Selector
from clm_stage_engine.core.summing import Distinct, Sum
from clm_stage_engine.core.timing import Dwell, Silence, Since

Entry = tuple[int, str | None, str, str | None, str | None]
"""(at, source, target, message id of the cause, name of the move)"""


class View(NamedTuple):
    """All there is to know at an instant."""

    now: int
    since: int
    history: Sequence[Touch]
    touch: Touch | None
    exits: Sequence[tuple[int, str]]


def naive_fold(draft: Draft, touches: Sequence[Touch], until: int) -> list[Entry]:
    """Give the timeline of distinct touchpoints."""
    ordered = sorted(touches, key=lambda it: (it.time, it.message_id))
    timeline: list[Entry] = []
    history: list[Touch] = []
    for touch in ordered:
        if timeline:
            _pass_time(draft, timeline, history, touch.time)
        else:
            timeline.append((touch.time, None, draft.start, touch.message_id, "start"))
        history.append(touch)
        here = timeline[-1]
        view = View(touch.time, here[0], history, touch, _exits(timeline))
        for rule in draft.rules:
            if _leaves(rule, here[2]) and _mentions(rule.when, touch) and _holds(rule.when, view):
                timeline.append((touch.time, here[2], rule.target, touch.message_id, rule.name))
                break
    if timeline:
        _pass_time(draft, timeline, history, until)
    return timeline


def _exits(timeline: Sequence[Entry]) -> list[tuple[int, str]]:
    return [(it[0], it[1]) for it in timeline if it[1] is not None]


def _pass_time(draft: Draft, timeline: list[Entry], history: list[Touch], until: int) -> None:
    """Let time pass from the last touchpoint (or entry) to `until`, from instant to instant."""
    reached = max(timeline[-1][0], history[-1].time)
    while True:
        since, stage = timeline[-1][0], timeline[-1][2]
        rules = [rule for rule in draft.rules if _leaves(rule, stage)]
        here = View(reached, since, history, None, _exits(timeline))
        ahead = [it for rule in rules for it in _instants(rule.when, here)]
        reached = min([it for it in ahead if it > reached], default=until + 1)
        if reached > until:
            return
        view = here._replace(now=reached)
        for rule in rules:
            if _falls_due(rule.when, view) and _holds(rule.when, view):
                timeline.append((reached, stage, rule.target, None, rule.name))
                break


def _instants(when: Condition, view: View) -> Iterator[int]:
    """Give instants at which the passing of time might change something.

    Touchpoints and windows lie on a grid of half days; only scores, and what is measured from a
    stage that a score opened, lie between.
    """
    half = DAY // 2
    yield (view.now // half + 1) * half
    for leaf, _ in _signed_leaves(when):
        if isinstance(leaf, Silence | Dwell):
            yield view.since + leaf.duration
        if isinstance(leaf, Since):  # "more than a day ago" begins a µs after a day
            yield from (it.time + leaf.than + 1 for it in view.history)
        if isinstance(leaf, Count) and leaf.within is not None:
            yield from (at + leaf.within for at, _ in view.exits)
        if isinstance(leaf, Score):
            yield from _crossings(leaf, view)


def _crossings(when: Score, view: View) -> Iterator[int]:
    """Give the instants around which a score on a line could reach its bound."""
    fades = when.need.fades
    given = [
        (it.time, points)
        for selector, points in when.need.weights
        for it in _seen((selector,), None, view)
    ]
    for start in {time for time, _ in given}:
        left = [(time, points) for time, points in given if time >= start]
        slope = sum(points for _, points in left)
        height = sum(points * (fades + time) for time, points in left)
        if slope:
            near = (height - when.than * fades) // slope
            yield from range(near - 1, near + 3)
        yield start + fades


def _leaves(rule: Rule, stage: str) -> bool:
    return rule.target != stage and (rule.sources == ("*",) or stage in rule.sources)


def _signed_leaves(when: Condition, *, negated: bool = False) -> Iterator[tuple[Leaf, bool]]:
    match when:
        case Not():
            yield from _signed_leaves(when.part, negated=not negated)
        case AllOf() | AnyOf():
            for part in when.parts:
                yield from _signed_leaves(part, negated=negated)
        case _:
            yield when, negated


def _about(leaf: Leaf) -> tuple[Selector, ...]:
    """Give the touchpoints that a condition mentions."""
    match leaf:
        case Count() if leaf.pattern is not None:
            return leaf.pattern.final
        case Count() | Sum():
            return (*leaf.of, *leaf.resets)
        case Completes():
            return leaf.pattern.final
        case Score():
            return tuple(it for it, _ in leaf.need.weights)
        case Event() | Distinct() | Known() | Regular() | Stopped() | Silence() | Since():
            return leaf.of
        case _:
            return ()


def _mentions(when: Condition, touch: Touch) -> bool:
    """Tell whether a touchpoint has a type and event that are mentioned, whatever it carries."""
    about = [it for leaf, _ in _signed_leaves(when) for it in _about(leaf)]
    return any(_is(Selector(it.type, it.event), touch) for it in about)


def _is(selector: Selector, touch: Touch) -> bool:
    alike = selector.type == touch.type and selector.event in {None, touch.event}
    return alike and _carries(selector.where, touch)


def _carries(where: Where, touch: Touch) -> bool:
    return all(test.holds(_read(touch, path)) for path, test in where)


def _read(touch: Touch, path: tuple[str, ...]) -> list[object]:
    """Give what stands at a path: nothing, a null, or a value."""
    if path == ("source",):
        return [touch.message_id.split("/")[0]]
    value: object = json.loads(touch.body, parse_float=Decimal)
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return []
        value = value[name]
    return [value]


def _falls_due(when: Condition, view: View) -> bool:
    """Tell whether a leaf that may bring the move about becomes true at this very instant."""
    before = view._replace(now=view.now - 1)
    for leaf, negated in _effective(when, negated=False):
        if _holds(leaf, view) != negated and _holds(leaf, before) == negated:
            return True
    return False


def _effective(when: Condition, *, negated: bool) -> Iterator[tuple[Leaf, bool]]:
    """Leave out what stands beside a touchpoint that must happen at the same moment."""
    match when:
        case Not():
            yield from _effective(when.part, negated=not negated)
        case AllOf() | AnyOf():
            if not _needs_touchpoint(when, negated=negated):
                for part in when.parts:
                    yield from _effective(part, negated=negated)
        case _:
            yield when, negated


def _needs_touchpoint(when: Condition, *, negated: bool) -> bool:
    match when:
        case Not():
            return _needs_touchpoint(when.part, negated=not negated)
        case AllOf() | AnyOf():
            needs = [_needs_touchpoint(part, negated=negated) for part in when.parts]
            return any(needs) if isinstance(when, AllOf) != negated else all(needs)
        case Event() | Completes():
            return not negated
        case Count():  # fewer than none, and the negation of at least none
            impossible = {("lt", 0, False), ("gte", 0, True)}
            return (when.op, when.than, negated) in impossible
        case _:
            return False


def _holds(when: Condition, view: View) -> bool:  # noqa: C901, PLR0911, PLR0912 - one per kind
    match when:
        case Event():
            here = view.touch is not None and any(_is(it, view.touch) for it in when.of)
            return here and (when.nth is None or len(_seen(when.of, None, view)) == when.nth)
        case Completes():
            done = _completions(when.pattern, view)
            return view.touch is not None and bool(done) and done[-1] is view.touch
        case Count():
            return OPS[when.op](_counted(when, view), when.than)
        case Sum():
            return OPS[when.op](_total(when, view), when.than)
        case Distinct():
            values = [
                it for touch in _seen(when.of, when.within, view) for it in _read(touch, when.path)
            ]
            different = {(type(it) is bool, repr(_plain(it))) for it in values if it is not None}
            return OPS[when.op](len(different), when.than)
        case Known():
            return when.test.holds(_known(when, view))
        case Since():
            times = [it.time for it in _seen(when.of, None, view)]
            passed = bool(times) and OPS[when.op](
                view.now - (times[0] if when.first else times[-1]), when.than
            )
            return passed != when.denied
        case Regular():
            return _regular(when, view) != when.denied
        case Stopped():
            recent = _seen(when.of, when.duration, view)
            all_of_it = _seen(when.of, when.duration + when.before, view)
            return (not recent and len(all_of_it) >= when.count) != when.denied
        case Silence():
            times = [it.time for it in _seen(when.of, None, view)]
            return view.now - max([view.since, *times]) >= when.duration
        case Dwell():
            return view.now - view.since >= when.duration
        case Score():
            over = _scored(when, view) - when.than
            return OPS[when.op]((over > 0) - (over < 0), 0)
        case Local():
            minute = view.now % DAY // 60_000_000
            weekday = (view.now // DAY + 3) % 7  # the epoch was a Thursday
            return (when.start <= minute < when.end and weekday in when.days) != when.denied
        case AllOf():
            return all(_holds(part, view) for part in when.parts)
        case AnyOf():
            return any(_holds(part, view) for part in when.parts)
        case Not():
            return not _holds(when.part, view)
        case _:
            raise AssertionError(when)


def _plain(value: object) -> object:
    """Give equal numbers one form."""
    return Fraction(value) if isinstance(value, int | Decimal) else value


def _seen(
    of: Sequence[Selector], within: int | None, view: View, resets: Sequence[Selector] = ()
) -> list[Touch]:
    after = 0
    for place, touch in enumerate(view.history):
        if any(_is(it, touch) for it in resets):
            after = place + 1
    return [
        it
        for it in view.history[after:]
        if any(_is(selector, it) for selector in of)
        and it.time <= view.now
        and (within is None or view.now - it.time < within)
    ]


def _counted(when: Count, view: View) -> int:
    if when.pattern is not None:
        done = _completions(when.pattern, view)
        return len([it for it in done if when.within is None or view.now - it.time < when.within])
    if when.of[0].type == LEFT:
        stages = {it.event for it in when.of}
        return len(
            [
                at
                for at, stage in view.exits
                if stage in stages and (when.within is None or view.now - at < when.within)
            ]
        )
    return len(_seen(when.of, when.within, view, when.resets))


def _completions(pattern: PatternNeed, view: View) -> list[Touch]:
    if isinstance(pattern, PauseNeed):
        found = _seen(pattern.of, None, view)
        pairs = pairwise(found)
        return [later for earlier, later in pairs if later.time - earlier.time >= pattern.gap]
    assert isinstance(pattern, StepsNeed)
    done: list[Touch] = []
    usable: list[Touch] = []
    for touch in view.history:
        if any(_is(it, touch) for it in pattern.without):
            usable = []
            continue
        usable.append(touch)
        if any(
            _in_steps(pattern, chosen)
            for chosen in combinations(usable, len(pattern.steps))
            if chosen[-1] is touch
        ):
            done.append(touch)
            usable = []
    return done


def _in_steps(pattern: StepsNeed, chosen: Sequence[Touch]) -> bool:
    fits = all(
        any(_is(it, touch) for it in step)
        for step, touch in zip(pattern.steps, chosen, strict=True)
    )
    return fits and (pattern.within is None or chosen[-1].time - chosen[0].time < pattern.within)


def _known(when: Known, view: View) -> list[object]:
    found: list[tuple[int, list[object]]] = []
    for touch in _seen(when.of, None, view):
        values = next((it for path in when.paths if (it := _read(touch, path))), [])
        if values:
            found.append((touch.time, values))
    if not found:
        return []
    at, values = found[0] if when.first else found[-1]
    return [] if when.within is not None and view.now - at >= when.within else values


def _regular(when: Regular, view: View) -> bool:
    for number in range(when.periods):
        end = view.now - number * when.every
        times = [it.time for it in _seen(when.of, None, view)]
        if len([it for it in times if end - when.every < it <= end]) < when.count:
            return False
    return True


def _scored(when: Score, view: View) -> Fraction:
    """Give the score of a line exactly; half-lives have tests of their own."""
    assert when.need.linear
    total = Fraction(0)
    for selector, points in when.need.weights:
        for it in _seen((selector,), when.need.fades, view):
            total += points * (1 - Fraction(view.now - it.time, when.need.fades))
    return total


def _total(when: Sum, view: View) -> int:
    total = Decimal(0)
    for it in _seen(when.of, when.within, view, when.resets):
        for value in _read(it, when.path):
            if isinstance(value, int | Decimal) and not isinstance(value, bool):
                total += value
    return int(total * 1_000_000)
