"""The laws of the fold, over made-up lifecycles and people, and over `reach`."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clm_stage_engine import definitions
from clm_stage_engine.core.fold import State, Touch, advance, fold, lapse, order, pack, unpack
from clm_stage_engine.core.lifecycle import Draft, Lifecycle
from tests.support.lifecycles import END, drafts, half_days, people
from tests.support.naive_fold import naive_fold
from tests.support.timelines import Shell, day

thorough = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@thorough
@given(drafts(), people(fewest=4))
def test_the_fold_gives_the_timeline_that_the_whole_history_explains(
    definition: tuple[Draft, Lifecycle], touches: list[Touch]
) -> None:
    draft, lifecycle = definition

    changes = fold(lifecycle, order(touches), day(END)).changes

    timeline = [(it.at, it.source, it.target, it.cause, it.move) for it in changes]
    assert timeline == naive_fold(draft, touches, day(END))


@thorough
@given(drafts(), people(fewest=4), st.data())
def test_order_batches_and_repeats_of_arrival_do_not_matter(
    definition: tuple[Draft, Lifecycle], touches: list[Touch], data: st.DataObject
) -> None:
    _, lifecycle = definition
    shell = Shell(lifecycle)
    repeated = data.draw(st.lists(st.sampled_from(touches), max_size=4))
    arrival = data.draw(st.permutations([*touches, *repeated]))

    for batch in _batches(arrival, data):
        shell.receive(batch)
        if data.draw(st.booleans()):
            shell.pass_time(data.draw(half_days()))
    shell.pass_time(day(END))

    truth = fold(lifecycle, order(touches), day(END))
    assert truth.state is not None
    assert shell.changes == [*truth.changes]
    assert shell.stored == pack(truth.state)


@thorough
@given(drafts(), people(fewest=4), half_days())
def test_a_replay_up_to_the_frontier_gives_the_live_state_byte_for_byte(
    definition: tuple[Draft, Lifecycle], touches: list[Touch], now: int
) -> None:
    _, lifecycle = definition
    shell = Shell(lifecycle)
    for touch in order(touches):
        shell.receive([touch])
    shell.pass_time(now)
    live = shell.state
    assert live is not None

    replayed = fold(lifecycle, order(touches), until=live.frontier[0])

    assert replayed.state is not None
    assert pack(replayed.state) == shell.stored
    assert unpack(pack(live)) == live


@thorough
@given(drafts(), people(fewest=4), st.tuples(half_days(), half_days()).map(sorted))
def test_a_deadline_has_its_own_instant_however_late_it_is_seen(
    definition: tuple[Draft, Lifecycle], touches: list[Touch], instants: list[int]
) -> None:
    _, lifecycle = definition
    sooner, later = (max(it, order(touches)[-1].time) for it in instants)

    seen_late = fold(lifecycle, order(touches), until=later)
    seen_soon = fold(lifecycle, order(touches), until=sooner)

    assert list(seen_soon.changes) == [it for it in seen_late.changes if it.at <= sooner]
    assert seen_soon.state is not None
    assert lapse(lifecycle, seen_soon.state, later).state == seen_late.state


@thorough
@given(drafts(), people(fewest=4))
def test_each_touchpoint_and_each_deadline_moves_a_profile_once_at_most(
    definition: tuple[Draft, Lifecycle], touches: list[Touch]
) -> None:
    _, lifecycle = definition

    changes = fold(lifecycle, order(touches), day(END)).changes

    causes = [it.cause for it in changes if it.kind == "touchpoint"]
    deadlines = [it.at for it in changes if it.kind == "deadline"]
    assert len(set(causes)) == len(causes)
    assert len(set(deadlines)) == len(deadlines)
    assert [it.at for it in changes] == sorted(it.at for it in changes)
    assert [it.source for it in changes] == [None, *(it.target for it in changes[:-1])]


@pytest.mark.parametrize("seed", range(20))
def test_a_busy_customer_of_reach_has_one_timeline_in_any_order_of_arrival(seed: int) -> None:
    lifecycle = definitions.load()["reach"]
    rng = random.Random(seed)
    touches = _customer(rng)
    truth = fold(lifecycle, order(touches), day(2000))
    assert truth.state is not None
    shell = Shell(lifecycle)

    arrival = rng.sample(touches + touches[:50], k=len(touches) + 50)
    while arrival:
        size = rng.randrange(1, 60)
        shell.receive(arrival[:size])
        shell.pass_time(day(rng.randrange(2000)))
        arrival = arrival[size:]
    shell.pass_time(day(2000))

    assert shell.changes == [*truth.changes]
    assert shell.stored == pack(truth.state)
    assert shell.folded_again > 1
    assert len(truth.changes) > 4


@given(people(most=8), people(most=8))
def test_the_order_of_touchpoints_depends_on_the_set_alone(
    some: list[Touch], others: list[Touch]
) -> None:
    touches = [*some, *others]  # the same message ids, with different times and bodies

    ordered = order(touches)

    assert ordered == order(reversed(touches)) == order([*touches, *ordered])
    pairs = [(it.time, it.message_id) for it in ordered]
    assert pairs == sorted({(it.time, it.message_id) for it in touches})


def test_a_late_touchpoint_is_refused_by_advance() -> None:
    lifecycle = definitions.load()["reach"]
    first, late = _page(day(1), "b"), _page(day(1), "a")
    state: State = advance(lifecycle, None, first).state

    with pytest.raises(ValueError, match="re-fold"):
        advance(lifecycle, state, late)
    with pytest.raises(ValueError, match="re-fold"):
        advance(lifecycle, state, first)


def _page(time: int, message_id: str) -> Touch:
    return Touch(time, message_id, "page", None, b"{}")


def _customer(rng: random.Random) -> list[Touch]:
    """Make five years of somebody who buys in bursts."""
    found: list[Touch] = []
    at = 0.0
    for number in range(200):
        at += rng.choice([0, 0.01, 1, 10, 90, 130]) if rng.random() < 0.3 else 0.5
        event = rng.choice(["Order Completed", "Product Reviewed", "Signed Up", "Product Viewed"])
        revenue = rng.randrange(-2000, 20_000) / 100
        body = f'{{"properties":{{"revenue":{revenue}}}}}'.encode()
        found.append(Touch(day(at), f"m{number}", "track", event, body))
    return found


def _batches(touches: list[Touch], data: st.DataObject) -> list[list[Touch]]:
    batches: list[list[Touch]] = []
    while touches:
        size = data.draw(st.integers(1, len(touches)))
        batches.append(touches[:size])
        touches = touches[size:]
    return batches
