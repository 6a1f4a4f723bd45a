"""Publications with a policy: what becomes of people in flight, told by examples."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clm_stage_engine import definitions
from clm_stage_engine.core.crossing import Outcome, follow
from clm_stage_engine.core.eras import Course, Era, Policy, table
from clm_stage_engine.core.explain import explain
from clm_stage_engine.core.facts import Touch
from clm_stage_engine.core.fold import Change, fold, order
from clm_stage_engine.core.letting_go import let_go
from clm_stage_engine.core.lifecycle import Draft, Lifecycle
from clm_stage_engine.core.snapshot import Line, pack, unpack
from clm_stage_engine.core.starting import AT_FIRST, start
from tests.support.lifecycles import END, courses, drafts, half_days, people
from tests.support.timelines import day, touch

OWN = UUID(int=7)

OLD = definitions.parse("""
key: shop
start: seen
stages: [{key: seen}, {key: buyer}, {key: fan}]
moves:
  - {from: seen, to: buyer, when: {event: Buy}}
  - {from: buyer, to: fan, when: {event: Buy, nth: 4}}
  - {from: buyer, to: seen, when: {silent: 60d, of: Buy}}
""")
NEW = definitions.parse("""
key: shop
start: visitor
stages: [{key: visitor, aliases: [seen]}, {key: buyer}, {key: regular}]
moves:
  - {from: visitor, to: buyer, when: {event: Buy}}
  - {from: buyer, to: regular, when: {count: Buy, gte: 3}}
  - {from: [buyer, regular], to: visitor, when: {silent: 30d, of: Buy}, name: lapsed}
""")
STAGES = table([OLD], NEW, {"fan": "regular"}).stages


def course(policy: Policy, since: float = 20) -> Course:
    stages = STAGES if policy in {"map", "drain"} else {}
    return Course((Era(OLD), Era(NEW, day(since), policy, stages)))


def walk(found: Course, touches: Sequence[Touch], until: float) -> list[tuple[float, str]]:
    """Give the stages that somebody enters, and the days on which they do."""
    return told(follow(found, order(touches), day(until)))


def told(found: Outcome) -> list[tuple[float, str]]:
    return [((it.at - day(0)) / (day(1) - day(0)), it.target) for it in found.timeline]


def test_a_mapped_person_keeps_the_stage_and_goes_on_by_the_new_version_with_all_they_did() -> None:
    bought = [touch("Buy", 1), touch("Buy", 2), touch("Buy", 25)]

    assert walk(course("map"), bought, 26) == [(1, "seen"), (1, "buyer"), (25, "regular")]
    assert walk(Course.of(OLD), bought, 26) == [(1, "seen"), (1, "buyer")]


def test_a_stage_with_another_name_is_entered_at_the_publication() -> None:
    found = follow(course("map"), [touch("Look", 1)], day(21))

    assert told(found) == [(1, "seen"), (20, "visitor")]
    entered = found.changes[-1]
    assert (entered.change.kind, entered.change.move, entered.change.cause) == (
        "mapped",
        "mapped",
        None,
    )
    assert entered.lifecycle is NEW
    assert explain(NEW, entered.change).nearest == ()


def test_time_in_a_stage_that_keeps_its_name_goes_on_and_what_is_overdue_falls_due_at_once() -> (
    None
):
    assert walk(course("map", 50), [touch("Buy", 1)], 90) == [
        (1, "seen"),
        (1, "buyer"),
        (50, "visitor"),
    ]
    assert walk(course("map", 20), [touch("Buy", 1)], 90)[-1] == (31, "visitor")


def test_what_the_old_version_decided_before_the_publication_stands() -> None:
    quiet = [touch("Buy", 1), touch("Buy", 70)]

    found = walk(course("map", 65), quiet, 71)

    assert found == [(1, "seen"), (1, "buyer"), (61, "seen"), (65, "visitor"), (70, "buyer")]


def test_at_the_very_instant_of_the_publication_the_new_version_decides() -> None:
    touches = [*(touch("Buy", at) for at in (1, 2)), touch("Buy", 20)]

    assert walk(course("map", 20), touches, 21)[-1] == (20, "regular")
    assert walk(course("map", 20.5), touches, 21)[-1] == (1, "buyer")


def test_a_pinned_person_stays_and_somebody_new_does_not() -> None:
    old, new = [touch("Look", 19), touch("Buy", 21)], [touch("Look", 20), touch("Buy", 21)]

    assert walk(course("pin"), old, 60) == [(19, "seen"), (21, "buyer")]
    assert walk(course("pin"), new, 60) == [(20, "visitor"), (21, "buyer"), (51, "visitor")]


def test_a_late_first_touchpoint_pins_somebody_who_had_begun_with_the_new_version() -> None:
    touches = [touch("Look", 20), touch("Buy", 21), touch("Look", 19)]

    assert walk(course("pin"), touches, 60) == [(19, "seen"), (21, "buyer")]


def test_a_draining_person_goes_over_with_the_next_change_of_stage() -> None:
    touches = [touch("Buy", 1), touch("Buy", 2), touch("Look", 25), touch("Buy", 26)]

    waiting = follow(course("drain"), touches, day(27))
    drained = follow(course("drain"), [*touches, touch("Buy", 28), touch("Buy", 29)], day(70))

    assert told(waiting) == [(1, "seen"), (1, "buyer")]
    assert told(drained) == [(1, "seen"), (1, "buyer"), (28, "regular"), (59, "visitor")]
    assert [it.lifecycle for it in drained.changes] == [OLD, OLD, OLD, NEW]
    assert drained.changes[2].change.target == "fan"


def test_a_deadline_of_the_old_version_drains_too() -> None:
    assert walk(course("drain"), [touch("Buy", 1)], 62) == [
        (1, "seen"),
        (1, "buyer"),
        (61, "visitor"),
    ]


def test_who_was_pinned_is_mapped_by_the_next_publication() -> None:
    eras = (*course("pin").eras, Era(NEW, day(40), "map", STAGES))

    assert walk(Course(eras), [touch("Buy", 15)], 60) == [
        (15, "seen"),
        (15, "buyer"),
        (45, "visitor"),
    ]


def test_a_stage_left_before_counts_under_the_name_it_has_now() -> None:
    again = definitions.parse("""
key: shop
start: visitor
stages: [{key: visitor, aliases: [seen]}, {key: buyer, aliases: [fan]}, {key: back}]
moves:
  - {from: visitor, to: buyer, when: {event: Buy}}
  - {from: visitor, to: back, when: {all: [{event: Look}, {been_in: buyer}]}}
""")
    stages = table([OLD], again, {}).stages
    found = Course((Era(OLD), Era(again, day(70), "map", stages)))
    new = [touch("Look", 1), touch("Look", 71)]

    assert walk(found, [touch("Buy", 1), touch("Look", 71)], 72)[-1] == (71, "back")
    assert walk(found, new, 72)[-1] == (70, "visitor")


@pytest.mark.parametrize("policy", ["map", "pin", "drain"])
def test_before_a_publication_every_policy_leaves_what_was(policy: Policy) -> None:
    touches = [touch("Buy", 1), touch("Buy", 2), touch("Look", 3)]
    before = fold(OLD, touches, day(19)).changes

    found = follow(course(policy), touches, day(19))

    assert tuple(it.change for it in found.changes)[: len(before)] == before


def test_one_definition_alone_is_the_plain_fold() -> None:
    touches = [touch("Buy", 1), touch("Buy", 2)]
    step = fold(OLD, touches, day(70))

    found = follow(Course.of(OLD), touches, day(70))

    assert (found.state, found.digest) == (step.state, OLD.digest)
    assert tuple(found.timeline) == step.changes


@pytest.mark.parametrize(
    ("before", "said", "missing", "unknown"),
    [
        ([OLD], {}, ("fan",), ()),
        ([OLD], {"fan": "seen"}, (), ()),
        ([OLD], {"fan": "nowhere"}, (), ("nowhere",)),
        ([OLD], {"fan": "buyer", "gone": "buyer"}, (), ("gone",)),
        ([OLD, NEW], {"fan": "buyer", "buyer": "regular"}, (), ()),
    ],
)
def test_a_table_of_stages_has_every_old_one_or_says_which_is_missing(
    before: list[Lifecycle],
    said: dict[str, str],
    missing: tuple[str, ...],
    unknown: tuple[str, ...],
) -> None:
    found = table(before, NEW, said)

    assert (found.missing, found.unknown) == (missing, unknown)
    assert found.stages["seen"] == "visitor"


def test_what_is_said_of_a_stage_goes_before_its_own_name() -> None:
    assert table([OLD], NEW, {"fan": "buyer", "buyer": "regular"}).stages == {
        "seen": "visitor",
        "buyer": "regular",
        "fan": "buyer",
    }


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(st.lists(drafts(), min_size=2, max_size=3), people(fewest=4), half_days(), st.data())
def test_who_goes_over_to_no_other_definition_after_a_snapshot_goes_on_from_it_exactly(
    written: list[tuple[Draft, Lifecycle]], touches: list[Touch], at: int, data: st.DataObject
) -> None:
    course = data.draw(courses([it for _, it in written]))
    ordered = order(touches)
    at = max(at, ordered[0].time + 1)
    older = [it for it in ordered if it.time < at]
    cut = let_go(course, AT_FIRST, older, frozenset(), at)
    assert cut is not None
    begun = start(course, OWN, {OWN: unpack(pack(cut))}, ordered)

    found = follow(course, ordered, day(END), begun)

    timeline: list[Change | Line] = [*begun.beginning.lines, *found.timeline]
    truth = follow(course, ordered, day(END))
    assert found.state is not None
    assert found.state.stage == timeline[-1].target
    assert found.state.stage in found.lifecycle.nodes
    assert [it.at for it in timeline] == sorted(it.at for it in timeline)
    if cut.definition == truth.digest:
        assert (found.state, found.digest) == (truth.state, truth.digest)
        assert entered(timeline) == entered(truth.timeline)


def entered(changes: Sequence[Change | Line]) -> list[tuple[int, str | None, str, str | None]]:
    return [(it.at, it.source, it.target, it.cause) for it in changes]


def test_who_goes_over_after_a_snapshot_takes_along_what_was_remembered() -> None:
    bought = [touch("Buy", at) for at in (1, 2, 25)]
    new = course("map")
    cut = let_go(new, AT_FIRST, bought[:2], frozenset(), day(10))
    assert cut is not None

    found = follow(new, bought, day(26), start(new, OWN, {OWN: cut}, bought[2:]))

    assert told(found) == [(25, "regular")]
