"""Made-up lifecycles and people, as hypothesis strategies: small enough that things coincide."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from clm_common.instant import DAY
from clm_stage_engine.channel_file import shipped
from clm_stage_engine.core.compiling import build
from clm_stage_engine.core.eras import Course, Era, Policy
from clm_stage_engine.core.fold import Touch
from clm_stage_engine.core.lifecycle import Draft, Lifecycle
from clm_stage_engine.core.soundness import check
from clm_stage_engine.lifecycle_file import LifecycleFile
from tests.support.timelines import START, touch

EVENTS = ("Order Completed", "Signed Up", "Product Reviewed")
END = 60
"""The day on which every generated timeline is looked at; nobody does anything after day 20."""

Json = dict[str, Any]  # Any: what a definition says, before it is read
Conditions = st.SearchStrategy[Json]


def _counted(names: object, op: str, than: int, within: str | None) -> Json:
    return {"count": names, op: than} | ({"within": within} if within else {})


def _summed(names: object, op: str, than: float, within: str | None) -> Json:
    condition = {"sum": "properties.revenue", "of": names, op: than}
    return condition | ({"within": within} if within else {})


def _event(names: object, nth: int | None) -> Json:
    return {"event": names} | ({"nth": nth} if nth else {})


def _silent(duration: str, names: object) -> Json:
    return {"silent": duration, "of": names}


def _in_stage(duration: str) -> Json:
    return {"in_stage": duration}


def _of_plan(test: object) -> Json:
    return {"properties.plan": test}


def _where(condition: Json, where: Json | None) -> Json:
    return condition | ({"where": where} if where else {})


def _since(condition: Json, event: str | None) -> Json:
    """Let counting start anew after an event that is not counted."""
    counted = condition.get("count", condition.get("of"))
    listed = counted if isinstance(counted, list) else [counted]
    return condition if event is None or event in listed else condition | {"since_last": event}


def _distinct(names: object, op: str, than: int, within: str | None) -> Json:
    condition = {"distinct": "properties.plan", "of": names, op: than}
    return condition | ({"within": within} if within else {})


def _value(which: str, names: object, test: Json, within: str | None) -> Json:
    window = {"within": within} if within and which == "last" else {}
    return {which: "properties.plan", "of": names} | test | window


def _trait(test: Json) -> Json:
    return {"trait": "plan"} | test


def _ago(names: object, op: str, than: str, which: str) -> Json:
    return {"since": names, op: than, "which": which}


def _sequence(steps: list[str], within: str | None, without: str | None) -> Json:
    window = {"within": within} if within else {}
    return {"sequence": steps} | window | ({"without": [without]} if without else {})


def _restarted(names: object, after: str) -> Json:
    return {"restarted": names, "after": after}


def _often(pattern: Json, op: str, than: int, within: str | None) -> Json:
    return pattern | {"times": {op: than} | ({"within": within} if within else {})}


def _regularly(names: object, every: str, periods: int, times: int) -> Json:
    return {"regularly": names, "every": every, "periods": periods, "times": times}


def _stopped(names: object, quiet: str, before: str, times: int) -> Json:
    return {"stopped": names, "for": quiet, "before": before, "times": times}


def _been_in(stage: str, within: str | None) -> Json:
    return {"been_in": stage} | ({"within": within} if within else {})


def _score(points: dict[str, int], linear: str, op: str, than: int) -> Json:
    return {"score": points, "linear": linear, op: than}


def _local(days: list[str], hours: str) -> Json:
    return {"local": {"days": days, "hours": hours}}


def _all(parts: list[Json]) -> Json:
    return {"all": parts}


def _any(parts: list[Json]) -> Json:
    return {"any": parts}


def _not(part: Json) -> Json:
    return {"not": part}


def _guarded(trigger: Json, guards: list[Json]) -> Json:
    return _all([trigger, *guards])


def _lists(parts: Conditions, fewest: int, most: int) -> st.SearchStrategy[list[Json]]:
    return st.lists(parts, min_size=fewest, max_size=most)


_some = st.lists(st.sampled_from([*EVENTS, "page:*"]), min_size=1, max_size=2, unique=True)
_names: st.SearchStrategy[object] = st.one_of(st.sampled_from([*EVENTS, "*"]), _some)
_tests: Conditions = st.sampled_from(
    [
        {"eq": "pro"},
        {"ne": "pro"},
        {"in": ["pro", 7]},
        {"exists": True},
        {"exists": False},
        {"gte": 7},
        {"starts": "p"},
        {"matches": "^p.o$"},
    ]
)
_denied_test = _tests.map(lambda it: {"not": it})
_wheres = st.builds(
    _of_plan,
    st.one_of(st.sampled_from(["pro", 7]), _tests, _denied_test),
)
_maybe_where = st.one_of(st.none(), st.none(), _wheres)
_durations = st.sampled_from(["1d", "36h", "2d", "3d", "5d", "8d"])
_within = st.none() | _durations
_ops = st.sampled_from(["gte", "gt", "lt", "lte", "eq", "ne"])
_resets = st.one_of(st.none(), st.none(), st.sampled_from(EVENTS))
_all_counts = st.builds(_counted, _names, _ops, st.integers(1, 4), _within)
_counts = st.builds(_since, st.builds(_where, _all_counts, _maybe_where), _resets)
_all_sums = st.builds(_summed, _names, _ops, st.sampled_from([-5, 0, 10, 20.5, 40]), _within)
_sums = st.builds(_since, st.builds(_where, _all_sums, _maybe_where), _resets)
_lengths = st.sampled_from(["gt", "gte", "lt", "lte"])
_distincts = st.builds(_distinct, _names, _ops, st.integers(1, 3), _within)
_values = st.builds(_value, st.sampled_from(["first", "last"]), _names, _tests, _within)
_agos = st.builds(_ago, _names, _lengths, _durations, st.sampled_from(["first", "last"]))
_steps = st.lists(st.sampled_from([*EVENTS[:2], "page:*"]), min_size=2, max_size=3)
_sequences = st.builds(_sequence, _steps, _within, st.sampled_from([None, EVENTS[2]]))
_patterns = _sequences | st.builds(_restarted, _names, _durations)
_rhythms = st.builds(
    _regularly, _names, st.sampled_from(["1d", "36h", "3d"]), st.integers(2, 3), st.integers(1, 2)
)
_stops = st.builds(_stopped, _names, _durations, _durations, st.integers(1, 2))
_stays = st.builds(_been_in, st.sampled_from(["s0", "s1"]), _within)
_points = st.dictionaries(st.sampled_from(EVENTS), st.sampled_from([-3, 2, 5]), min_size=1)
_scores = st.builds(_score, _points, _durations, _lengths, st.sampled_from([-1, 0, 3]))
_often_ones = st.builds(_often, _patterns, _ops, st.integers(1, 2), _within)
_clocks = st.builds(
    _local,
    st.lists(st.sampled_from(["mon", "wed", "sat", "sun"]), min_size=1, unique=True),
    st.sampled_from(["00:00-12:00", "12:00-24:00", "00:00-24:00"]),
)
_known = st.one_of(_values, st.builds(_trait, _tests))
_deniable = st.one_of(_distincts, _known, _agos, _often_ones, _rhythms, _stops, _stays, _clocks)
_newer = st.one_of(_deniable, _patterns, _scores)
_types: Conditions = st.sampled_from([{"type": it} for it in ("identify", "page", "track")])
_events = st.builds(_event, _names, st.sampled_from([None, None, 1, 2, 3]))
_channels: Conditions = st.sampled_from([{"source": "m03"}, {"source": {"ne": "m03"}}])
_touches = st.builds(_where, _events, _maybe_where) | _types | _channels
_dwells = st.builds(_in_stage, _durations)
_silences = st.builds(_where, st.builds(_silent, _durations, _names), _maybe_where)
_leaves = st.one_of(_touches, _counts, _sums, _silences, _dwells, _newer, _newer)
_plain = st.one_of(_touches, _counts, _sums, _deniable)
_pairs = _lists(_plain, 2, 2)
_denied = st.one_of(_plain, _pairs.map(_any), _pairs.map(_all), _plain.map(_not)).map(_not)
_guards = st.one_of(_counts, _sums, _dwells, _denied, _newer)
_either = _lists(_leaves, 2, 3).map(_any)
_both = st.builds(_guarded, _leaves | _either, _lists(_guards | _either, 1, 2))
_ways = _lists(_both | _leaves, 2, 2).map(_any)
conditions: Conditions = st.one_of(_leaves, _leaves, _either, _both, _both, _ways)


@st.composite
def written(draw: st.DrawFn) -> Draft:
    """Make a lifecycle as somebody may write it, right or not."""
    count = draw(st.integers(2, 4))
    steps = [(number, draw(st.integers(0, number - 1))) for number in range(1, count)]
    back = st.tuples(st.integers(0, count - 1), st.integers(1, count - 1))
    steps += [(to, (to + by) % count) for to, by in draw(st.lists(back, min_size=1, max_size=5))]
    moves = [
        {"from": f"s{source}", "to": f"s{target}", "when": draw(conditions), "name": f"m{number}"}
        for number, (target, source) in enumerate(steps)
    ]
    if draw(st.booleans()):
        moves.append({"from": "*", "to": "s0", "when": draw(conditions), "name": "again"})
    listed = [{"key": f"s{number}"} for number in range(count)]
    text = json.dumps({"key": "made-up", "start": "s0", "stages": listed, "moves": moves})
    return LifecycleFile.model_validate_json(text).draft()


@st.composite
def drafts(draw: st.DrawFn) -> tuple[Draft, Lifecycle]:
    """Make a lifecycle that is not refused: as written, and compiled."""
    draft = draw(written())
    assume(not check(draft))
    return draft, build(draft, shipped())


_revenue = st.one_of(
    st.integers(-20, 30),
    st.decimals(-20, 30, places=2).map(float),
    st.sampled_from([None, True, "12.5", [3], {"value": 3}]),
)
_kinds = st.sampled_from(
    [*((name, "track") for name in EVENTS), (None, "identify"), (None, "page"), (EVENTS[0], "page")]
)


_plan = st.sampled_from(["pro", "pro", "free", 7, 7.0, None, True, ["pro"]])
_drawn = st.tuples(_kinds, st.integers(0, 40), st.none() | _revenue, st.none() | _plan)


def people(*, fewest: int = 1, most: int = 14) -> st.SearchStrategy[list[Touch]]:
    """Make one person's distinct touchpoints, on a grid of half days, some at the same instant."""
    drawn = st.lists(_drawn, min_size=fewest, max_size=most)
    return st.builds(_person, drawn, st.sampled_from([1, 5, 11]))


_Drawn = tuple[tuple[str | None, str], int, object, object]


def _person(drawn: list[_Drawn], stride: int) -> list[Touch]:
    ids = [number * stride % 17 for number in range(len(drawn))]  # distinct, in no simple order
    return [
        touch(
            event,
            at / 2,
            f"m{number:02}",
            kind=kind,
            properties={"revenue": revenue} | ({} if plan is None else {"plan": plan}),
            traits={} if plan is None else {"plan": plan},
        )
        for number, ((event, kind), at, revenue, plan) in zip(ids, drawn, strict=True)
    ]


def half_days() -> st.SearchStrategy[int]:
    """Give instants on the grid, up to the end."""
    return st.integers(0, END * 2).map(lambda it: START + it * DAY // 2)


@st.composite
def courses(draw: st.DrawFn, versions: Sequence[Lifecycle]) -> Course:
    """Make a course of these versions; eras begin on the grid of half days."""
    first, *others = draw(st.permutations([*versions, versions[0]]))
    grid = st.integers(0, 40).map(lambda it: START + it * DAY // 2)
    instants = draw(st.lists(grid, max_size=3, unique=True).map(sorted))
    policies: st.SearchStrategy[Policy] = st.sampled_from(["map", "pin", "drain"])
    eras = [Era(first)]
    for since, lifecycle in zip(instants, others, strict=False):
        old = [stage.key for era in eras for stage in era.lifecycle.stages]
        stages = draw(st.fixed_dictionaries(dict.fromkeys(old, _any_stage(lifecycle))))
        eras.append(Era(lifecycle, since, draw(policies), stages))
    return Course(tuple(eras))


def _any_stage(lifecycle: Lifecycle) -> st.SearchStrategy[str]:
    return st.sampled_from([it.key for it in lifecycle.stages])
