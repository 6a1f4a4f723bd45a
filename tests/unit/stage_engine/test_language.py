"""The newer words of the language, one by one, by what happens to people."""

from __future__ import annotations

import json
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clm_common.instant import DAY, HOUR, MINUTE, SECOND, from_datetime
from clm_stage_engine import definitions
from clm_stage_engine.core.facts import Facts
from clm_stage_engine.core.fold import Touch, advance, fold, lapse, order, pack
from clm_stage_engine.core.leaf import Leaf, Moment
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.core.manual import ByHand
from clm_stage_engine.core.memories import Watch
from clm_stage_engine.core.scoring import halved
from tests.support.timelines import START, day, decided, lifecycle, run, touch


def when(condition: str) -> Lifecycle:
    """Make a lifecycle of two stages with one move."""
    return lifecycle(f"{{from: a, to: b, when: {condition}}}", stages="ab")


def entered(condition: str, *touches: Touch, until: float = 0) -> float | None:
    """Give the day on which the second stage was entered."""
    timeline = run(when(condition), *touches, until=until)
    return timeline[1][0] if len(timeline) > 1 else None


def having(event: str, at: float, **properties: object) -> Touch:
    return touch(event, at, properties=properties)


@pytest.mark.parametrize(
    ("test", "passes", "fails"),
    [
        ("pro", ["pro"], ["free", None, 7, ["pro"]]),
        ("[pro, 7]", ["pro", 7, 7.0], ["free", "7", True, None]),
        ("7", [7, 7.0], ["7", True]),
        ("true", [True], [1, "true"]),
        ("0.1", [0.1], [0.11, "0.1"]),
        ("{ne: pro}", ["free", None, 7], ["pro"]),
        ("{gt: 7}", [7.5, 8], [7, "8", None, True]),
        ("{gte: 7, lt: 9}", [7, 8.99], [6.99, 9]),
        ("{lte: '2026-02-01'}", ["2026-01-31", "2026-02-01"], ["2026-02-02", 3]),
        ("{contains: ro}", ["pro", ["ro", "x"]], ["free", ["pro"], {"ro": 1}]),
        ("{starts: pr}", ["pro"], ["Pro", ["pr"], None]),
        ("{exists: true}", ["", 0, False], [None]),
        ("{exists: false}", [None], ["", 0, False]),
        ("{matches: '^p.o$'}", ["pro"], ["pros", 7]),
        ("{matches: 'e+'}", ["free"], ["pro"]),
        ("{not: {starts: p}}", ["free", None], ["pro"]),
    ],
)
def test_a_predicate_compares_without_coercion(
    test: str, passes: list[object], fails: list[object]
) -> None:
    condition = f"{{event: A, where: {{properties.x: {test}}}}}"

    assert [it for it in passes if entered(condition, having("A", 0, x=it)) is None] == []
    assert [it for it in fails if entered(condition, having("A", 0, x=it)) is not None] == []


def test_a_path_leads_through_objects_and_with_a_star_through_lists() -> None:
    products = [{"sku": "a", "tags": ["x"]}, {"sku": "b", "tags": ["y", "z"]}]
    cart = having("A", 0, products=products, shipping={"city": "Bern"})

    assert entered("{event: A, where: {properties.shipping.city: Bern}}", cart) == 0
    assert entered("{event: A, where: {'properties.products[].sku': b}}", cart) == 0
    assert entered("{event: A, where: {properties.products.*.tags.*: z}}", cart) == 0
    assert entered("{event: A, where: {properties.products.*.sku: c}}", cart) is None
    assert entered("{event: A, where: {properties.products.sku: b}}", cart) is None


def test_a_body_that_is_no_json_carries_nothing() -> None:
    broken = Touch(day(0), "m", "track", "A", b'{"properties": {"x": ')

    assert entered("{event: A, where: {properties.x: {exists: true}}}", broken) is None
    assert entered("{event: A, where: {properties.x: {exists: false}}}", broken) == 0


def test_a_hostile_pattern_takes_no_time() -> None:
    condition = "{event: A, where: {properties.x: {matches: '(a+)+$'}}}"

    assert entered(condition, having("A", 0, x="a" * 50_000 + "b")) is None


def test_only_what_carries_it_is_counted() -> None:
    condition = "{count: A, where: {properties.x: {gte: 5}}, gte: 2}"

    assert entered(condition, *(having("A", at, x=at) for at in (1, 5, 3, 7))) == 7


def test_events_with_different_tests_are_one_choice() -> None:
    condition = "{count: [B, {event: A, where: {properties.x: 1}}], gte: 2}"

    assert entered(condition, having("A", 0, x=2), touch("B", 1), having("A", 2, x=1)) == 2


def test_pages_are_named_by_type_and_name() -> None:
    def page(name: str, at: float) -> Touch:
        body = json.dumps({"type": "page", "name": name}).encode()
        return Touch(day(at), f"{name}{at}", "page", None, body)

    assert entered('{event: "page:Pricing"}', page("Home", 0), page("Pricing", 1)) == 1
    assert entered('{count: "page:*", gte: 2}', page("Home", 0), page("Pricing", 1)) == 1
    assert entered('{event: "*"}', page("Home", 0), touch("X", 1)) == 1


def test_counting_starts_anew_after_what_ends_it() -> None:
    condition = "{count: A, gte: 3, since_last: B}"
    touches = [touch("A", 0), touch("A", 1), touch("B", 2), *(touch("A", it) for it in (3, 4, 5))]

    assert entered(condition, *touches) == 5


def test_different_values_are_told_apart_and_forgotten() -> None:
    condition = "{distinct: properties.x, of: A, gte: 3, within: 3d}"
    values = [(0, "a"), (1, "b"), (2, "a"), (4, 7), (4.5, 7.0), (5, "7"), (5.5, "b")]

    touches = [having("A", at, x=value) for at, value in values]

    assert entered(condition, *touches) == 5.5


def test_what_the_first_and_the_last_carried_is_remembered() -> None:
    touches = [touch("A", 0), having("A", 1, x="ad"), having("A", 2, x="mail"), touch("B", 3)]

    def is_known(which: str, value: str) -> bool:
        condition = f"{{all: [{{event: B}}, {{{which}: properties.x, of: A, eq: {value}}}]}}"
        return entered(condition, *touches) == 3

    assert is_known("first", "ad")
    assert is_known("last", "mail")
    assert not is_known("first", "mail")
    assert not is_known("last", "ad")


def test_a_value_within_a_window_is_forgotten_at_its_end() -> None:
    condition = "{last: properties.x, of: A, within: 2d, exists: false}"
    definition = lifecycle(
        "{from: a, to: b, when: {event: A}}", f"{{from: b, to: c, when: {condition}}}", stages="abc"
    )

    assert run(definition, having("A", 1, x=1), until=9)[-1] == (3, "c")


def test_time_since_is_measured_from_the_first_or_the_last() -> None:
    touches = [touch("A", 0), touch("A", 2)]

    assert entered("{since: A, gte: 3d}", *touches, until=9) == 5
    assert entered("{since: A, gte: 3d, which: first}", *touches, until=9) == 3
    assert entered("{since: A, gte: 3d}", touch("B", 0), until=9) is None


def identify(at: float, **traits: object) -> Touch:
    return touch(None, at, f"i{at}", kind="identify", traits=traits)


def test_the_last_word_about_a_trait_wins_by_event_time() -> None:
    condition = "{all: [{event: B}, {trait: plan, eq: pro}]}"
    known = [identify(0, plan="free"), identify(1, plan="pro"), identify(2, name="Ada")]

    assert entered(condition, *known, touch("B", 3)) == 3
    assert entered(condition, *reversed(known), touch("B", 3)) == 3
    assert entered(condition, *known, identify(2.5, plan=None), touch("B", 3)) is None
    assert entered(condition, *known, identify(2.5, plan="free"), touch("B", 3)) is None
    assert entered("{trait: plan, eq: pro}", *known) == 1


def test_a_trait_may_stand_in_the_context_alone() -> None:
    body = b'{"type": "identify", "context": {"traits": {"plan": "pro"}}}'

    told = Touch(day(1), "m", "identify", None, body)

    assert entered("{trait: plan, eq: pro}", told) == 1


def test_a_sequence_is_completed_by_its_last_step() -> None:
    steps = "{sequence: [A, B], within: 2d, without: C}"

    def a(at: float) -> Touch:
        return touch("A", at)

    def b(at: float) -> Touch:
        return touch("B", at)

    assert entered(steps, a(0), b(1.99)) == 1.99
    assert entered(steps, a(0), b(2)) is None
    assert entered(steps, b(0), a(1)) is None
    assert entered(steps, a(0), touch("C", 0.5), b(1)) is None
    assert entered(steps, a(0), a(1.5), b(3)) == 3
    assert entered("{sequence: [A, A, B]}", a(0), b(1), a(2), b(3)) == 3


def test_what_completed_a_sequence_starts_it_anew() -> None:
    twice = "{sequence: [A, B], times: {gte: 2}}"

    assert entered(twice, touch("A", 0), touch("B", 1), touch("B", 2)) is None
    assert entered(twice, touch("A", 0), touch("B", 1), touch("A", 2), touch("B", 3)) == 3


def test_regularly_is_so_often_in_each_period_back_from_now() -> None:
    weekly = "{regularly: A, every: 7d, periods: 3}"

    assert entered(weekly, *(touch("A", at) for at in (0, 7, 14))) == 14
    assert entered(weekly, *(touch("A", at) for at in (0, 1, 15)), until=60) is None
    assert entered(weekly, *(touch("A", at) for at in (0, 9, 13)), until=60) == 16


def test_who_did_it_often_and_not_any_more_has_stopped() -> None:
    condition = "{stopped: A, for: 3d, before: 4d, times: 2}"

    assert entered(condition, touch("A", 0), touch("A", 2), until=30) == 5
    assert entered(condition, touch("A", 0), touch("A", 4), until=30) is None
    assert entered(condition, touch("A", 0), until=30) is None


def test_who_comes_back_after_a_pause_has_restarted() -> None:
    condition = "{restarted: A, after: 5d}"

    assert entered(condition, touch("A", 0), touch("A", 4), touch("A", 9)) == 9
    assert entered(condition, touch("A", 9)) is None


def test_a_stage_that_was_left_is_remembered_by_any_of_its_names() -> None:
    definition = lifecycle(
        "{from: a, to: b, when: {event: B}}",
        "{from: b, to: a, when: {event: A}}",
        "{from: a, to: c, when: {all: [{event: C}, {been_in: b, within: 5d}]}}",
        stages="abc",
    )
    start = [touch("B", 0), touch("C", 1), touch("A", 2)]

    assert run(definition, *start, touch("C", 6.9))[-1] == (6.9, "c")
    assert run(definition, *start, touch("C", 7))[-1] == (2, "a")
    assert run(definition, touch("C", 1)) == [(1, "a")]


def test_a_score_falls_below_its_bound_at_the_very_microsecond() -> None:
    definition = lifecycle(
        "{from: a, to: b, when: {score: {A: 60, B: 40}, half_life: 10d, gte: 100}}",
        "{from: b, to: c, when: {score: {A: 60, B: 40}, half_life: 10d, lt: 50}}",
        stages="abc",
    )

    step = fold(definition, order([touch("A", 0), touch("B", 0)]), until=day(99))

    assert [it.at for it in step.changes] == [day(0), day(0), day(10) + 1]


def test_points_on_a_line_are_used_up_in_time() -> None:
    definition = lifecycle(
        "{from: a, to: b, when: {score: {A: 60}, linear: 10d, gte: 100}}",
        "{from: b, to: c, when: {score: {A: 60}, linear: 10d, lte: 60}}",
        stages="abc",
    )

    step = fold(definition, order([touch("A", 0), touch("A", 2)]), until=day(99))

    assert [(it.at, it.target) for it in step.changes] == [
        (day(0), "a"),
        (day(2), "b"),
        (day(6), "c"),
    ]


@given(st.integers(1, 10**12), st.integers(0, 400 * DAY), st.integers(HOUR, 90 * DAY))
def test_halving_is_right_to_the_billionth_and_never_rises(
    points: int, passed: int, half_life: int
) -> None:
    left = halved(points << 40, passed, half_life)

    exact = Decimal(points << 40) * Decimal(2) ** (-Decimal(passed) / Decimal(half_life))
    assert abs(left - exact) <= 2 + exact / 10**9
    assert halved(points << 40, passed + 1, half_life) <= left
    assert halved(points << 40, half_life, half_life) == points << 39


LEAVES = st.one_of(
    st.builds("{{silent: {}s, of: A}}".format, st.integers(1, 10**6)),
    st.builds("{{in_stage: {}s}}".format, st.integers(1, 10**6)),
    st.builds("{{since: A, gt: {}s}}".format, st.integers(1, 10**6)),
    st.builds("{{since: A, gte: {}s, which: first}}".format, st.integers(1, 10**6)),
    st.builds("{{count: A, lt: {}, within: {}s}}".format, st.integers(1, 4), st.integers(1, 10**6)),
    st.builds("{{count: A, ne: {}, within: {}s}}".format, st.integers(1, 4), st.integers(1, 10**6)),
    st.builds(
        "{{sum: properties.x, of: A, lte: {}, within: {}s}}".format,
        st.integers(-3, 9),
        st.integers(1, 10**6),
    ),
    st.builds(
        "{{distinct: properties.x, of: A, lt: {}, within: {}s}}".format,
        st.integers(1, 3),
        st.integers(1, 10**6),
    ),
    st.builds(
        "{{regularly: A, every: {}s, periods: {}, times: {}}}".format,
        st.integers(1, 10**5),
        st.integers(2, 4),
        st.integers(1, 2),
    ),
    st.builds("{{not: {{regularly: A, every: {}s, periods: 2}}}}".format, st.integers(1, 10**5)),
    st.builds(
        "{{stopped: A, for: {}s, before: {}s, times: {}}}".format,
        st.integers(1, 10**5),
        st.integers(1, 10**5),
        st.integers(1, 2),
    ),
    st.builds(
        "{{score: {{A: {}, B: {}}}, half_life: {}s, lt: {}}}".format,
        st.integers(1, 20),
        st.integers(-5, 5).filter(bool),
        st.integers(10, 10**5),
        st.integers(1, 9),
    ),
    st.builds(
        "{{score: {{A: {}, B: {}}}, linear: {}s, lte: {}}}".format,
        st.integers(1, 20),
        st.integers(-5, 5).filter(bool),
        st.integers(10, 10**6),
        st.integers(0, 9),
    ),
    st.builds(
        "{{last: properties.x, of: A, exists: false, within: {}s}}".format, st.integers(1, 10**6)
    ),
    st.builds(
        '{{local: {{days: [{}], hours: "{:02}:30-{:02}:15"}}}}'.format,
        st.sampled_from(["mon", "tue, wed", "sat, sun"]),
        st.integers(0, 23),
        st.integers(0, 23),
    ),
)


@settings(max_examples=400, deadline=None)
@given(
    LEAVES,
    st.lists(
        st.tuples(st.sampled_from("AAB"), st.integers(0, 300_000), st.integers(0, 3)),
        min_size=1,
        max_size=8,
    ),
    st.data(),
)
def test_a_deadline_is_the_first_instant_at_which_time_alone_makes_it_true(
    condition: str, drawn: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    touches = order(
        Touch(START + at * SECOND, f"m{number}", "track", name, b'{"properties":{"x":%d}}' % value)
        for number, (name, at, value) in enumerate(drawn)
    )
    definition = when(f"{{all: [{condition}, {{not: {{event: Never}}}}]}}")
    leaf, facts = _watched(definition, touches)
    now = touches[-1].time

    due = leaf.due(Moment(now, START, facts, None))

    def holds(at: int) -> bool:
        return leaf.holds(Moment(at, START, facts, None))

    end = due if due is not None else now + 30 * DAY
    if due is not None:
        assert due > now
        assert holds(due)
        assert not holds(due - 1)
    probed = sorted({now, *_probes(now, end, data)})
    held = [holds(it) for it in probed if it < end]
    assert all(not later or earlier for earlier, later in pairwise(held))


def _probes(now: int, end: int, data: st.DataObject) -> list[int]:
    """Give instants between now and the deadline: random ones, and evenly spread ones."""
    drawn = data.draw(st.lists(st.integers(now, max(now, end - 1)), max_size=30))
    hours = range(now, end, max(SECOND, (end - now) // 200))
    return [*drawn, *hours]


def _watched(definition: Lifecycle, touches: list[Touch]) -> tuple[Leaf, Facts]:
    """Give the timed leaf and the facts of a profile that is kept where it is."""
    facts = definition.blank
    for it in touches:
        for slot, watch in _feeds(definition, it):
            facts = (*facts[:slot], watch.observe(facts[slot], it), *facts[slot + 1 :])
    wait = definition.nodes["a"].waits[0]
    assume(wait.leaves)
    return wait.leaves[0], facts


def _feeds(definition: Lifecycle, it: Touch) -> tuple[tuple[int, Watch], ...]:
    plan = definition.nodes["a"].events.get(it.event)
    return () if plan is None else plan.feeds


def berlin(year: int, month: int, date: int, hour: int = 0, minute: int = 0) -> int:
    return from_datetime(
        datetime(year, month, date, hour, minute, tzinfo=ZoneInfo("Europe/Berlin"))
    )


def test_a_guard_of_office_hours_waits_for_the_customers_morning() -> None:
    definition = _zoned("{all: [{silent: 1d, of: A}, {local: {hours: '09:00-17:00'}}]}")
    told = Touch(berlin(2026, 3, 3, 20), "m", "track", "A", b"{}")

    changes = fold(definition, [told], until=berlin(2026, 3, 9)).changes

    assert [it.at for it in changes] == [told.time, berlin(2026, 3, 5, 9)]


def test_the_zone_a_customer_told_last_counts() -> None:
    definition = _zoned("{local: {days: [thu], hours: '09:00-10:00'}}")
    body = b'{"type":"identify","traits":{"zone":"America/New_York"}}'
    wrong = b'{"type":"identify","traits":{"zone":"Mars/Olympus"}}'
    first = Touch(berlin(2026, 3, 3, 20), "m1", "identify", None, body)
    second = Touch(berlin(2026, 3, 3, 21), "m2", "identify", None, wrong)

    changes = fold(definition, [first, second], until=berlin(2026, 3, 9)).changes

    assert changes[1].at == berlin(2026, 3, 5, 15)


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ("02:15-02:45", berlin(2026, 3, 30, 2, 15)),  # the hour is missing on the 29th
        ("02:15-03:30", berlin(2026, 3, 29, 3)),
        ("22:00-01:00", berlin(2026, 3, 28, 22)),
    ],
)
def test_a_missing_hour_is_no_time(hours: str, expected: int) -> None:
    definition = _zoned(f"{{local: {{hours: '{hours}'}}}}")
    told = Touch(berlin(2026, 3, 28, 12), "m", "track", "A", b"{}")

    assert fold(definition, [told], until=berlin(2026, 4, 2)).changes[1].at == expected


def test_a_repeated_hour_counts_twice() -> None:
    definition = _zoned("{local: {hours: '02:15-02:45'}}")
    between = berlin(2026, 10, 25, 2, 45)  # the first time; put back at 3:00 to 2:00

    told = Touch(between, "m", "track", "A", b"{}")

    changes = fold(definition, [told], until=berlin(2026, 10, 26)).changes
    assert changes[1].at == between + 30 * MINUTE


def test_a_guard_that_cannot_come_true_by_time_sets_no_deadline() -> None:
    definition = _zoned("{all: [{local: {hours: '09:00-17:00'}}, {trait: plan, eq: pro}]}")

    state = advance(definition, None, Touch(day(0), "m", "track", "A", b"{}")).state

    assert state.due is None


def _zoned(condition: str) -> Lifecycle:
    return definitions.parse(
        "key: sample\nstart: a\nstages: [{key: a}, {key: b}]\n"
        "time_zone: {default: Europe/Berlin, trait: zone}\n"
        f"moves:\n  - from: a\n    to: b\n    when: {condition}\n"
    )


STAYING = """key: sample
start: a
stages: [{key: a}, {key: b, stay: 3d}, {key: c}]
moves:
  - {from: a, to: b, when: {event: A}}
  - {from: b, to: c, when: {count: B, gte: 1}}
  - {from: b, to: a, when: {event: Out}, stay: none}
"""


def test_nobody_is_moved_on_before_the_stage_was_stayed_in() -> None:
    definition = definitions.parse(STAYING)

    assert run(definition, touch("A", 0), touch("B", 1), until=9)[-1] == (3, "c")
    assert run(definition, touch("A", 0), touch("Out", 1), until=9)[-1] == (1, "a")


def test_a_higher_priority_is_tried_first() -> None:
    moves = (
        "{from: a, to: b, when: {event: A}}",
        "{from: a, to: c, when: {event: A, where: {properties.x: 1}}, priority: 1}",
    )
    definition = lifecycle(*moves, stages="abc")

    assert run(definition, having("A", 0, x=1))[-1] == (0, "c")
    assert run(definition, having("A", 0, x=2))[-1] == (0, "b")


def by_hand(stage: str, at: float, key: str = "sample") -> Touch:
    return decided(ByHand(key, stage, "called us", "ada@example.com"), at)


def test_somebody_may_move_a_profile_by_hand_and_a_late_touchpoint_keeps_it() -> None:
    definition = lifecycle(
        "{from: a, to: b, when: {event: A}}", "{from: b, to: c, when: {event: B}}", stages="abc"
    )
    touches = [touch("A", 0), by_hand("c", 2), touch("B", 1)]

    step = fold(definition, order(touches), until=day(9))

    assert [(it.target, it.kind) for it in step.changes] == [
        ("a", "start"),
        ("b", "touchpoint"),
        ("c", "touchpoint"),
    ]
    early = fold(definition, order([touch("A", 0), by_hand("a", 2)]), until=day(9)).changes[-1]
    assert (early.at, early.target, early.kind, early.cause) == (day(2), "a", "manual", "move@2")


def test_a_move_by_hand_in_another_lifecycle_or_to_no_stage_changes_nothing() -> None:
    definition = when("{event: A}")

    assert run(definition, touch("X", 0), by_hand("b", 1, "other")) == [(0, "a")]
    assert run(definition, touch("X", 0), by_hand("nowhere", 1)) == [(0, "a")]
    with pytest.raises(ValueError, match="reason and an author"):
        decided(ByHand("sample", "b", " ", "ada"), 1)


def test_what_is_remembered_stays_small_whatever_happens() -> None:
    definition = lifecycle(
        *(
            f"{{from: a, to: b, when: {{all: [{{event: Never}}, {it}]}}}}"
            for it in (
                "{sum: properties.x, of: A, gte: 9, within: 999d}",
                "{regularly: A, every: 1d, periods: 30}",
                "{distinct: properties.x, of: A, gte: 9}",
                "{score: {A: 1}, linear: 99d, gte: 9}",
            )
        ),
        stages="ab",
    )
    touches = [having("A", at / 200, x=at) for at in range(5_000)]

    state = fold(definition, touches, until=0).state

    assert state is not None
    assert max(len(it.times) for it in state.facts) <= 3 * 3 * 31
    assert max(len(tally.times) for it in state.facts for tally in it.tallies) == 1_000
    assert len(pack(state)) < 50_000
    assert lapse(definition, state, day(9_999)).state == state
