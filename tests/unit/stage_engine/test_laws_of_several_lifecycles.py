"""The laws where several lifecycles run at once: each one's timeline is what it alone would give.

Somebody's touchpoints arrive in any order and batches while lifecycles are started and stopped
beside the main one. In the end the river says of each lifecycle that runs what folding everything
by it gives, and of one that was stopped nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from clm_common.instant import from_rfc3339
from clm_stage_engine.beside import Way, advance_beside, expire_beside, plain_beside, runs_by
from clm_stage_engine.channel_file import shipped
from clm_stage_engine.core.beside import Beside
from clm_stage_engine.core.compiling import build
from clm_stage_engine.core.crossing import follow
from clm_stage_engine.core.eras import ALWAYS, Course
from clm_stage_engine.core.facts import Touch
from clm_stage_engine.core.fold import order, pack
from clm_stage_engine.core.letting_go import let_go_by_all
from clm_stage_engine.core.lifecycle import Draft, Lifecycle
from clm_stage_engine.core.snapshot import Snapshot, unpack
from clm_stage_engine.core.snapshot import pack as pack_snapshot
from clm_stage_engine.folding import Past, advance_all, expire, in_order, news, plain, refold
from clm_stage_engine.journal import Journal
from clm_stage_engine.profiles import Standing
from tests.support.lifecycles import END, drafts, half_days, people
from tests.support.timelines import day
from tests.unit.stage_engine.test_laws_across_versions import OWN, Person, arrival

Others = tuple[Beside, ...]


class Follower(Person):
    """One person's rows and river where several lifecycles run, folded as the handler does."""

    def take(self, course: Course, others: Others, batch: Sequence[Touch]) -> None:
        """Fold a batch by what decides."""
        claimed = in_order([(arrival(it), OWN) for it in batch])
        journal = Journal(0, 1, shipped())
        lifecycle = plain(course, self.entry, claimed)
        ways = plain_beside(others, self.entry, claimed)
        if lifecycle is not None and ways is not None:
            further = advance_beside(ways, self.entry, claimed, journal)
            after = advance_all(lifecycle, self.entry, claimed, journal)
            self.entry = replace(after, further=further)
        else:
            fresh = news(self.past, claimed)
            self.entry = refold(course, self.entry, self.past, fresh, journal, others=others)
        known = {it.message_id for it in self.history}
        new = {it.message_id: it for it, _ in claimed if it.message_id not in known}
        self.history += new.values()
        self._publish(journal)

    def wait(self, course: Course, others: Others, now: int) -> None:
        """Sweep, then fire what is due by then."""
        journal = Journal(0, 1, shipped())
        if not runs_by(self.entry, others):
            self.entry = refold(course, self.entry, self.past, (), journal, others=others)
            self._publish(journal)
        journal = Journal(0, 1, shipped())
        ways = [Way(it, it.course.lifecycle) for it in others]
        further = expire_beside(ways, self.entry, now, journal)
        self.entry = replace(expire(course.lifecycle, self.entry, now, journal), further=further)
        self._publish(journal)

    def told(self, key: str) -> list[tuple[int, str, str, str, bool]]:
        """Give the timeline of a lifecycle as a subscriber has it."""
        return sorted(
            (from_rfc3339(it.at), it.source or "", it.target, it.cause or "", it.historical)
            for it in self.standing().values()
            if it.lifecycle == key
        )


def keyed(drawn: tuple[Draft, Lifecycle], key: str) -> Lifecycle:
    """Give a drawn lifecycle another key."""
    return build(replace(drawn[0], key=key), shipped())


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(drafts(), drafts(), drafts(), people(fewest=3), st.data())
def test_each_lifecycle_gives_what_it_alone_would_give(
    first: tuple[Draft, Lifecycle],
    second: tuple[Draft, Lifecycle],
    third: tuple[Draft, Lifecycle],
    touches: list[Touch],
    data: st.DataObject,
) -> None:
    main = Course.of(keyed(first, "main"))
    beside = [Course.of(keyed(second, "a")), Course.of(keyed(third, "b"))]
    began = [data.draw(st.just(ALWAYS) | half_days()) for _ in beside]
    every = tuple(Beside(it.lifecycle.key, at, it) for it, at in zip(beside, began, strict=True))
    running: st.SearchStrategy[Others] = st.sampled_from([(), every[:1], every[1:], every])
    repeated = data.draw(st.lists(st.sampled_from(touches), max_size=3))
    punctual = st.just(order([*touches]))
    waiting = data.draw(st.permutations([*touches, *repeated]) | punctual)
    person = Follower()

    while waiting:
        size = data.draw(st.integers(1, len(waiting)))
        person.take(main, data.draw(running), waiting[:size])
        waiting = waiting[size:]
        if data.draw(st.booleans()):
            person.wait(main, data.draw(running), data.draw(half_days()))
    last = data.draw(running)
    person.wait(main, last, day(END))

    assert person.entry.touchpoints == len(touches)
    kept = {it.lifecycle: it for it in person.entry.further or ()}
    assert list(kept) == [it.key for it in last]
    own = person.entry.state
    assert own is not None
    kept["main"] = Standing("main", person.entry.definition, own)
    for it in (Beside("main", ALWAYS, main), *last):
        truth = follow(it.course, order(touches), day(END))
        assert truth.state is not None
        assert pack(kept[it.key].state) == pack(truth.state)
        assert kept[it.key].definition == truth.digest
        assert person.told(it.key) == sorted(
            (one.at, one.source or "", one.target, one.cause or "", one.at < it.began)
            for one in truth.timeline
        )
    for stopped in {"a", "b"} - {it.key for it in last}:
        assert person.told(stopped) == []


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(drafts(), drafts(), people(fewest=3), half_days())
def test_whoever_is_folded_away_goes_on_in_every_lifecycle_as_if_all_were_there(
    first: tuple[Draft, Lifecycle], second: tuple[Draft, Lifecycle], touches: list[Touch], cut: int
) -> None:
    main, other = Course.of(keyed(first, "main")), Course.of(keyed(second, "a"))
    others: Others = (Beside("a", ALWAYS, other),)
    person = Follower()
    person.take(main, others, touches)
    person.wait(main, others, day(END))
    older = [it for it in person.history if it.time < cut]
    no_snapshots: dict[UUID, Snapshot] = {}
    made = let_go_by_all(main, others, OWN, (no_snapshots, older, frozenset()), cut)
    kept = {} if made is None else {OWN: unpack(pack_snapshot(made))}
    newer = [it for it in person.history if it.time >= cut]

    journal = Journal(0, 1, shipped())
    past = Past(newer, person.standing(), snapshots=kept)
    again = refold(main, person.entry, past, (), journal, others=others)

    assert (made is None) == (not older)
    assert journal.count == 0
    assert (again.state, again.further) == (person.entry.state, person.entry.further)
    assert again.touchpoints == len(touches)
