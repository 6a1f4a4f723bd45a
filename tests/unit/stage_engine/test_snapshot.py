"""Snapshots: the fold of the past and then of the rest is the fold of everything, wherever cut."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clm_stage_engine import definitions
from clm_stage_engine.core import fold as folds
from clm_stage_engine.core.fold import Change, Touch, fold, order
from clm_stage_engine.core.lifecycle import Draft, Lifecycle
from clm_stage_engine.core.resuming import (
    FOLDED,
    NOTHING,
    Beginning,
    begin,
    beginning,
    resume,
    take,
)
from clm_stage_engine.core.snapshot import Line, Snapshot, pack, unpack
from tests.support.lifecycles import END, drafts, half_days, people
from tests.support.timelines import day, touch

thorough = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
Entered = tuple[int, str | None, str, str, str | None]


def entered(changes: Sequence[Change | Line]) -> list[Entered]:
    return [(it.at, it.source, it.target, it.move, it.cause) for it in changes]


def cut(
    lifecycle: Lifecycle, touches: Sequence[Touch], at: int, *, on: Beginning = NOTHING
) -> Snapshot:
    """Fold away what happened before an instant; as it is read back."""
    made = take(lifecycle, on, [it for it in touches if on.cut <= it.time < at], frozenset(), at)
    assert made is not None
    assert pack(unpack(pack(made))) == pack(made)
    return unpack(pack(made))


def rest(touches: Sequence[Touch], at: int) -> list[Touch]:
    return [it for it in order(touches) if it.time >= at]


@thorough
@given(drafts(), people(fewest=4), st.lists(half_days(), min_size=1, max_size=3).map(sorted))
def test_wherever_the_past_is_folded_away_the_rest_goes_on_as_if_it_were_there(
    definition: tuple[Draft, Lifecycle], touches: list[Touch], cuts: list[int]
) -> None:
    _, lifecycle = definition
    cuts = [max(it, order(touches)[0].time + 1) for it in cuts]

    begun = NOTHING
    for at in cuts:
        begun = begin(lifecycle, cut(lifecycle, touches, at, on=begun))
    step = resume(lifecycle, begun, rest(touches, cuts[-1]), day(END))

    truth = fold(lifecycle, order(touches), day(END))
    assert step.state is not None
    assert truth.state is not None
    assert folds.pack(step.state) == folds.pack(truth.state)
    assert entered([*begun.lines, *step.changes]) == entered(truth.changes)
    assert begun.touchpoints + len(rest(touches, cuts[-1])) == len(order(touches))


@thorough
@given(drafts(), drafts(), people(fewest=4), half_days())
def test_whatever_another_definition_asks_it_goes_on_from_every_snapshot(
    old: tuple[Draft, Lifecycle], new: tuple[Draft, Lifecycle], touches: list[Touch], at: int
) -> None:
    at = max(at, order(touches)[0].time + 1)
    snapshot = cut(old[1], touches, at)

    begun = begin(new[1], snapshot)
    step = resume(new[1], begun, rest(touches, at), day(END))

    timeline: list[Change | Line] = [*begun.lines, *step.changes]
    assert step.state is not None
    assert step.state.stage == timeline[-1].target
    assert step.state.stage in new[1].nodes
    assert [it.at for it in timeline] == sorted(it.at for it in timeline)
    assert [it.source for it in timeline] == [None, *(it.target for it in timeline[:-1])]
    assert begun == begin(new[1], snapshot)


SHOP = """
key: shop
start: seen
stages: [{key: seen}, {key: buyer}, {key: regular}, {key: asleep}]
moves:
  - {from: seen, to: buyer, when: {event: Buy}}
  - {from: buyer, to: regular, when: {count: Buy, gte: 4, within: 100d}}
  - {from: [buyer, regular], to: asleep, when: {silent: 50d, of: Buy}}
"""
BUYS = [touch(None, 0, kind="page"), *(touch("Buy", at) for at in (1, 2, 12, 14))]


def folded(yaml: str, snapshot: Snapshot, touches: Sequence[Touch], until: float) -> list[Entered]:
    lifecycle = definitions.parse(yaml)
    begun = begin(lifecycle, snapshot)
    step = resume(lifecycle, begun, rest(touches, snapshot.cut), day(until))
    return entered([*begun.lines, *step.changes])


def everything(yaml: str, touches: Sequence[Touch], until: float) -> list[Entered]:
    return entered(fold(definitions.parse(yaml), order(touches), day(until)).changes)


def test_a_stage_that_only_got_another_name_is_renamed_in_the_whole_timeline() -> None:
    new = SHOP.replace("{key: buyer}", "{key: customer, aliases: [buyer]}")
    snapshot = cut(definitions.parse(SHOP), BUYS, day(10))

    timeline = folded(new, snapshot, BUYS, 100)

    assert timeline == everything(new, BUYS, 100)
    assert [it[2] for it in timeline] == ["seen", "customer", "regular", "asleep"]


def test_another_threshold_counts_on_with_what_was_remembered() -> None:
    new = SHOP.replace("gte: 4", "gte: 3")
    snapshot = cut(definitions.parse(SHOP), BUYS, day(10))

    timeline = folded(new, snapshot, BUYS, 100)

    assert timeline == everything(new, BUYS, 100)
    assert timeline[2][0] == day(12)


def test_a_shorter_silence_that_is_over_already_is_noticed_by_the_cut() -> None:
    new = SHOP.replace("50d", "20d")
    touches = [touch(None, 0, kind="page"), touch("Buy", 1)]
    snapshot = cut(definitions.parse(SHOP), touches, day(40))

    timeline = folded(new, snapshot, touches, 40)

    assert timeline == everything(new, touches, 40)
    assert timeline[-1][:3] == (day(21), "buyer", "asleep")


def test_what_nobody_remembered_is_unknown_and_time_runs_from_the_cut() -> None:
    new = SHOP.replace("{silent: 50d, of: Buy}", "{silent: 20d, of: [Buy, Visit]}")
    touches = [touch(None, 0, kind="page"), touch("Buy", 1), touch("Visit", 39)]
    snapshot = cut(definitions.parse(SHOP), touches, day(40))

    timeline = folded(new, snapshot, touches, 70)

    assert timeline[-1][:3] == (day(60), "buyer", "asleep")


def test_whose_stage_is_gone_starts_anew_at_the_cut() -> None:
    new = """
        key: shop
        start: seen
        stages: [{key: seen}, {key: regular}]
        moves: [{from: seen, to: regular, when: {count: Buy, gte: 4, within: 100d}}]
    """
    snapshot = cut(definitions.parse(SHOP), BUYS, day(10))

    timeline = folded(new, snapshot, BUYS, 30)

    assert timeline[-2:] == [
        (day(10), "buyer", "seen", FOLDED, None),
        (day(14), "seen", "regular", "seen->regular", "Buy@14"),
    ]


def test_another_lifecycle_keeps_when_somebody_came_and_the_stage_it_knows() -> None:
    new = SHOP.replace("key: shop", "key: store")
    snapshot = cut(definitions.parse(SHOP), BUYS, day(10))

    timeline = folded(new, snapshot, BUYS, 30)

    assert timeline == [
        (day(0), None, "seen", "start", "page@0"),
        (day(10), "seen", "buyer", FOLDED, None),
        (day(14), "buyer", "regular", "buyer->regular", "Buy@14"),
    ]


def test_going_back_to_the_old_definition_gives_the_old_timeline_again() -> None:
    old = definitions.parse(SHOP)
    snapshot = cut(old, BUYS, day(10))

    assert folded(SHOP, snapshot, BUYS, 100) == everything(SHOP, BUYS, 100)


OWN, OTHER, THIRD = (UUID(int=number) for number in (1, 2, 3))


def test_a_device_with_a_past_gives_it_to_a_customer_without_one() -> None:
    shop = definitions.parse(SHOP)
    snapshot = cut(shop, BUYS, day(10))
    later = [touch("Buy", 20)]

    begun = beginning(shop, OWN, {OTHER: snapshot}, later)

    assert begun == begin(shop, snapshot)


def test_of_several_pasts_the_profiles_own_goes_on_and_the_others_are_counted() -> None:
    shop = definitions.parse(SHOP)
    mine, other = cut(shop, BUYS[:3], day(10)), cut(shop, BUYS, day(20))

    begun = beginning(shop, OWN, {OTHER: other, OWN: mine}, [])
    strange = beginning(shop, THIRD, {OTHER: other, OWN: mine}, [])

    assert (begun.state, begun.touchpoints) == (mine.state, 8)
    assert (strange.state, strange.touchpoints) == (other.state, 8)


def test_touchpoints_of_ones_own_that_are_kept_count_more_than_anothers_snapshot() -> None:
    shop = definitions.parse(SHOP)
    snapshot = cut(shop, BUYS, day(10))

    begun = beginning(shop, OWN, {OTHER: snapshot}, [touch("Buy", 5)])

    assert begun.state is None
    assert begun.touchpoints == 3
