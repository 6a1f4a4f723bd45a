"""The laws of order and replay where definitions change between batches: the last course holds.

Somebody's touchpoints arrive in any order and batches while versions come to decide, by any policy,
and are taken back. What a subscriber has put together in the end is the fold of everything by what
decides in the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from clm_common.contracts.ids import USER_ID
from clm_common.contracts.stage_change import StageChange
from clm_common.instant import from_rfc3339, to_rfc3339
from clm_stage_engine.arrivals import Arrival
from clm_stage_engine.channel_file import shipped
from clm_stage_engine.core.crossing import follow
from clm_stage_engine.core.eras import Course
from clm_stage_engine.core.facts import Touch
from clm_stage_engine.core.fold import order, pack
from clm_stage_engine.core.identity import IdentityRow
from clm_stage_engine.core.lifecycle import Draft, Lifecycle
from clm_stage_engine.folding import (
    Claimed,
    Past,
    advance_all,
    expire,
    in_order,
    news,
    plain,
    refold,
)
from clm_stage_engine.journal import Journal
from clm_stage_engine.profiles import Entry, newborn
from tests.support.lifecycles import END, courses, drafts, half_days, people
from tests.support.timelines import day

OWN = UUID(int=7)


class Person:
    """One person's rows and river, folded as the handler does."""

    def __init__(self) -> None:
        row = IdentityRow(OWN, "w", USER_ID, "u", OWN)
        self.entry: Entry = newborn(row, 6, "")
        self.history: list[Arrival] = []
        self.river: list[StageChange] = []

    @property
    def past(self) -> Past:
        """What the rows hold."""
        return Past(self.history, self.standing())

    def standing(self) -> dict[UUID, StageChange]:
        """Give the stage changes that stand, as a subscriber has them."""
        newest: dict[UUID, StageChange] = {}
        for it in self.river:
            if it.id not in newest or newest[it.id].version <= it.version:
                newest[it.id] = it
        return {each: it for each, it in newest.items() if not it.retracted}

    def receive(self, course: Course, batch: Sequence[Arrival]) -> None:
        """Fold a batch by what decides."""
        claimed: list[Claimed] = in_order([(it, OWN) for it in batch])
        journal = Journal(0, 1, shipped())
        lifecycle = plain(course, self.entry, claimed)
        if lifecycle is not None:
            self.entry = advance_all(lifecycle, self.entry, claimed, journal)
        else:
            past = self.past
            fresh = news(past, claimed)
            self.entry = refold(course, self.entry, past, fresh, journal)
        known = {it.message_id for it in self.history}
        self.history += {
            it.message_id: it for it, _ in claimed if it.message_id not in known
        }.values()
        self._publish(journal)

    def sweep(self, course: Course) -> None:
        """Fold again if something else decided last."""
        if course.place(self.entry.definition, self.entry.state) is None:
            journal = Journal(0, 1, shipped())
            self.entry = refold(course, self.entry, self.past, (), journal)
            self._publish(journal)

    def agrees(self, course: Course) -> None:
        """See that the state is what folding the history by what decides gives."""
        state = self.entry.state
        assert state is not None
        truth = follow(course, order(self.history), state.frontier[0])
        assert truth.state is not None
        assert (self.entry.definition, pack(state)) == (truth.digest, pack(truth.state))

    def pass_time(self, course: Course, now: int) -> None:
        """Fire what is due by then."""
        self.sweep(course)
        place = course.place(self.entry.definition, self.entry.state)
        assert place is not None
        journal = Journal(0, 1, shipped())
        if place.drains:
            self.entry = refold(course, self.entry, self.past, (), journal, now=now)
        else:
            self.entry = expire(place.lifecycle, self.entry, now, journal)
        self._publish(journal)

    def _publish(self, journal: Journal) -> None:
        self.river += [change for _, change in journal.changes]


def arrival(touch: Touch) -> Arrival:
    return Arrival(
        touch.time,
        touch.message_id,
        touch.type,
        touch.event,
        touch.body,
        "w",
        "s",
        touch.message_id,
        ("w", USER_ID, "u"),
        None,
        to_rfc3339(touch.time),
        touch.time,
        untimed=False,
    )


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(st.lists(drafts(), min_size=2, max_size=3), people(fewest=4), st.data())
def test_whatever_decided_meanwhile_the_last_course_decides_about_everything(
    written: list[tuple[Draft, Lifecycle]], touches: list[Touch], data: st.DataObject
) -> None:
    versions = [replace(it, version=number) for number, (_, it) in enumerate(written, 1)]
    deciding = st.sampled_from(data.draw(st.lists(courses(versions), min_size=1, max_size=3)))
    arrivals = [arrival(it) for it in touches]
    repeated = data.draw(st.lists(st.sampled_from(arrivals), max_size=3))
    punctual = st.just(sorted([*arrivals, *repeated], key=lambda it: (it.time, it.message_id)))
    waiting = data.draw(st.permutations([*arrivals, *repeated]) | punctual)
    person = Person()

    while waiting:
        size = data.draw(st.integers(1, len(waiting)))
        course = data.draw(deciding)
        person.receive(course, waiting[:size])
        person.agrees(course)
        waiting = waiting[size:]
        if data.draw(st.booleans()):
            person.pass_time(data.draw(deciding), data.draw(half_days()))
    last = data.draw(deciding)
    person.pass_time(last, day(END))

    truth = follow(last, order(touches), day(END))
    assert truth.state is not None
    assert person.entry.state is not None
    assert pack(person.entry.state) == pack(truth.state)
    assert person.entry.definition == truth.digest
    assert person.entry.touchpoints == len(touches)
    standing = sorted(
        (from_rfc3339(it.at), it.source or "", it.target, it.cause or "")
        for it in person.standing().values()
    )
    assert standing == sorted(
        (it.at, it.source or "", it.target, it.cause or "") for it in truth.timeline
    )
