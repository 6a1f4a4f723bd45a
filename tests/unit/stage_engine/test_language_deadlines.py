"""Deadlines: the first instant at which time alone makes a condition true."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from clm_common.instant import DAY, SECOND
from clm_stage_engine.core.facts import Facts
from clm_stage_engine.core.fold import Touch, order
from clm_stage_engine.core.leaf import Leaf, Moment
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.core.memories import Watch
from tests.support.timelines import START, when

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
