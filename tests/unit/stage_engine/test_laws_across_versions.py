"""The laws of order and replay where definitions change between batches: the last one's fold holds.

Somebody's touchpoints arrive in any order and batches while versions come to decide and are taken
back. What a subscriber has put together in the end is the fold of everything by the last version.
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
from clm_stage_engine.core.facts import Touch
from clm_stage_engine.core.fold import fold, order, pack
from clm_stage_engine.core.identity import IdentityRow
from clm_stage_engine.core.lifecycle import Draft, Lifecycle
from clm_stage_engine.folding import (
    Claimed,
    Past,
    advance_all,
    expire,
    in_order,
    is_plain,
    news,
    refold,
)
from clm_stage_engine.journal import Journal
from clm_stage_engine.profiles import Entry, newborn
from tests.support.lifecycles import END, drafts, half_days, people
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

    def receive(self, lifecycle: Lifecycle, batch: Sequence[Arrival]) -> None:
        """Fold a batch by the version that decides."""
        claimed: list[Claimed] = in_order([(it, OWN) for it in batch])
        journal = Journal(0, 1, shipped())
        if is_plain(lifecycle, self.entry, claimed):
            self.entry = advance_all(lifecycle, self.entry, claimed, journal)
        else:
            past = self.past
            fresh = news(past, claimed)
            self.entry = refold(lifecycle, self.entry, past, fresh, journal)
        known = {it.message_id for it in self.history}
        self.history += {
            it.message_id: it for it, _ in claimed if it.message_id not in known
        }.values()
        self._publish(journal)

    def sweep(self, lifecycle: Lifecycle) -> None:
        """Fold again if another version decided last."""
        if self.entry.definition != lifecycle.digest:
            journal = Journal(0, 1, shipped())
            self.entry = refold(lifecycle, self.entry, self.past, (), journal)
            self._publish(journal)

    def pass_time(self, lifecycle: Lifecycle, now: int) -> None:
        """Fire what is due by then."""
        self.sweep(lifecycle)
        journal = Journal(0, 1, shipped())
        self.entry = expire(lifecycle, self.entry, now, journal)
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
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(st.lists(drafts(), min_size=2, max_size=3), people(fewest=4), st.data())
def test_whatever_decided_meanwhile_the_last_version_decides_about_everything(
    written: list[tuple[Draft, Lifecycle]], touches: list[Touch], data: st.DataObject
) -> None:
    versions = [replace(it, version=number) for number, (_, it) in enumerate(written, 1)]
    arrivals = [arrival(it) for it in touches]
    repeated = data.draw(st.lists(st.sampled_from(arrivals), max_size=3))
    waiting = data.draw(st.permutations([*arrivals, *repeated]))
    person = Person()

    while waiting:
        size = data.draw(st.integers(1, len(waiting)))
        lifecycle = data.draw(st.sampled_from(versions))
        person.receive(lifecycle, waiting[:size])
        waiting = waiting[size:]
        if data.draw(st.booleans()):
            person.pass_time(data.draw(st.sampled_from(versions)), data.draw(half_days()))
    last = data.draw(st.sampled_from(versions))
    person.pass_time(last, day(END))

    truth = fold(last, order(touches), day(END))
    assert truth.state is not None
    assert person.entry.state is not None
    assert pack(person.entry.state) == pack(truth.state)
    assert person.entry.touchpoints == len(touches)
    standing = sorted(
        (from_rfc3339(it.at), it.source or "", it.target, it.cause or "")
        for it in person.standing().values()
    )
    assert standing == sorted(
        (it.at, it.source or "", it.target, it.cause or "") for it in truth.changes
    )
