"""After a lost race only who raced is loaded and folded again; all others stand as decided."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Sequence
from typing import Final
from uuid import UUID

import pytest

from clm_common import catalog, telemetry
from clm_common.bus.memory import MemoryBroker
from clm_common.bus.ports import Record
from clm_common.contracts.ids import profile_id
from clm_common.contracts.topics import PARTITIONS, TOUCHPOINTS, partition_of
from clm_common.instant import DAY, from_rfc3339
from clm_common.runtime.handler import Connection
from clm_stage_engine import advancing, definitions, firing, folding
from clm_stage_engine.arrivals import Arrival, arrive
from clm_stage_engine.batch import Decided
from clm_stage_engine.core.beside import Beside
from clm_stage_engine.core.eras import Course
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.erasing import Erasing
from clm_stage_engine.folding import Claimed, Past
from clm_stage_engine.handlers import TouchpointHandler
from clm_stage_engine.journal import Journal
from clm_stage_engine.lifecycle_file import LifecycleFile
from clm_stage_engine.profiles import Entry
from clm_stage_engine.retention import Retiring
from clm_stage_engine.store import reading
from tests.support.engine import NOW, Engine
from tests.support.naive_fold import naive_fold
from tests.support.touchpoints import touchpoint

ORDER: Final = "Order Completed"
PHONE: Final = "phone"
HALF: Final = DAY // 2
"""The naive fold looks at the passing of time on a grid of half days."""

LOST: Final = 5
"""Races in a row: more than after which a handler forgets everything, if none has a name."""

TABLET: Final = "tablet"
NOBODY: Final = ("0", "-", "-1", "null", "nil", "none", "nan", "n/a", "undefined", "guest", "true")
DRAFT: Final = catalog.load(definitions.SHIPPED, LifecycleFile)["reach"].definition.draft()


def partition(name: str) -> int:
    return partition_of(f"local:{name}".encode(), PARTITIONS)


def customers(where: int, *, of: bool = True) -> list[str]:
    """Give six customers of a partition, or of others."""
    every = (f"customer-{it}" for it in range(500))
    return [it for it in every if (partition(it) == where) is of][:6]


ADA: Final = customers(partition(PHONE), of=False)[0]
"""The phone's owner: her own touchpoints are in another partition than the phone's."""


def of(user: str) -> UUID:
    return profile_id("local", "user_id", user)


class Folds:
    """Counts how often one partition folds and loads whom."""

    def __init__(self, patch: pytest.MonkeyPatch, where: int) -> None:
        self.folded = Counter[UUID]()
        self.loaded = Counter[UUID]()
        self._where = where
        self._load = reading.load_profiles
        patch.setattr(advancing, "advance_all", self.advance_all)
        patch.setattr(advancing, "refold", self.refold)
        patch.setattr(firing, "expire", self.expire)
        patch.setattr(reading, "load_profiles", self.load_profiles)

    def advance_all(
        self, lifecycle: Lifecycle, entry: Entry, claimed: Sequence[Claimed], journal: Journal
    ) -> Entry:
        self._note(entry, journal)
        return folding.advance_all(lifecycle, entry, claimed, journal)

    def refold(
        self,
        course: Course,
        entry: Entry,
        past: Past,
        fresh: Sequence[Claimed],
        journal: Journal,
        *,
        others: Sequence[Beside] | None = None,
    ) -> Entry:
        self._note(entry, journal)
        return folding.refold(course, entry, past, fresh, journal, others=others)

    def expire(self, lifecycle: Lifecycle, entry: Entry, now: int, journal: Journal) -> Entry:
        self._note(entry, journal)
        return folding.expire(lifecycle, entry, now, journal)

    async def load_profiles(self, tx: Connection, ids: Collection[UUID]) -> list[Entry]:
        self.loaded.update(ids)
        return await self._load(tx, ids)

    def _note(self, entry: Entry, journal: Journal) -> None:
        if journal.partition == self._where:
            self.folded[UUID(bytes=entry.id.bytes)] += 1


class Race:
    """A partition that loses: another commits about Ada between its first decision and writing it.

    Attributes:
        tries: the batches that it tried to write, in turn.
    """

    def __init__(self, patch: pytest.MonkeyPatch, where: int) -> None:
        self.tries = list[Decided]()
        decided, overtaken = asyncio.Event(), asyncio.Event()
        decide, wake = TouchpointHandler.decide, TouchpointHandler.wake
        committed = Decided.committed

        async def hold(batch: Decided) -> None:
            if batch.journal.partition == where:
                self.tries.append(batch)
                decided.set()
                await asyncio.wait_for(overtaken.wait(), 30)
            else:
                await asyncio.wait_for(decided.wait(), 30)

        async def held_decide(
            handler: TouchpointHandler, tx: Connection, records: Sequence[Record]
        ) -> Decided:
            batch = await decide(handler, tx, records)
            await hold(batch)
            return batch

        async def held_wake(
            handler: TouchpointHandler, tx: Connection
        ) -> Decided | Erasing | Retiring | None:
            batch = await wake(handler, tx)
            if isinstance(batch, Decided):
                await hold(batch)
            return batch

        def tell(batch: Decided) -> None:
            committed(batch)
            if batch.journal.partition != where and of(ADA) in batch.entries:
                overtaken.set()

        patch.setattr(TouchpointHandler, "decide", held_decide)
        patch.setattr(TouchpointHandler, "wake", held_wake)
        patch.setattr(Decided, "committed", tell)


@pytest.fixture
async def broker(engine_url: str) -> MemoryBroker:
    """Give the bus of an installation in which the phone is Ada's, and neighbours have bought."""
    broker = MemoryBroker()
    bought = [
        touchpoint(NOW - 9 * HALF, user=it, event=ORDER)
        for it in [*customers(partition(PHONE)), *customers(partition(ADA))]
    ]
    async with Engine(engine_url, broker) as engine:
        await engine.send(
            touchpoint(NOW - 8 * HALF, user=ADA, anonymous=PHONE, kind="identify"),
            touchpoint(NOW - 8 * HALF, anonymous=TABLET, kind="page"),
            *bought,
        )
        await engine.settled()
    return broker


@pytest.fixture
async def fresh(engine_url: str, broker: MemoryBroker) -> AsyncGenerator[Engine]:
    """Run an engine there that remembers nobody yet."""
    async with Engine(engine_url, broker) as engine:
        await engine.settled()
        yield engine


def verdicts() -> Counter[str]:
    """Give how many touchpoints came to what, in this process."""
    (metric,) = telemetry.TOUCHPOINTS.collect()
    return Counter(
        {it.labels["verdict"]: int(it.value) for it in metric.samples if it.name.endswith("_total")}
    )


def blocked() -> Counter[str]:
    """Give how many identifiers stood for nobody, in this process."""
    (metric,) = telemetry.IDENTIFIERS_BLOCKED.collect()
    return Counter(
        {it.labels["kind"]: int(it.value) for it in metric.samples if it.name.endswith("_total")}
    )


def explained(engine: Engine, user: str) -> list[tuple[object, ...]]:
    """Give somebody's timeline as the whole history explains it."""
    every = [arrive(it) for it in engine.broker.records(TOUCHPOINTS.name)]
    mine = [it for it in every if _owner(it) == user]
    return [entry[:4] for entry in naive_fold(DRAFT, mine, engine.clock.now())]


def _owner(arrival: Arrival) -> str:
    if arrival.user is not None:
        return arrival.user[2]
    devices = {PHONE: ADA, TABLET: customers(partition(PHONE))[-1]}
    return devices["" if arrival.anonymous is None else arrival.anonymous[2]]


def published(engine: Engine, user: str) -> list[tuple[object, ...]]:
    """Give somebody's timeline as it stands on the river."""
    return [
        (from_rfc3339(it.at), it.source, it.target, it.cause)
        for it in engine.timeline("user_id", user)
    ]


async def numbers(engine: Engine, where: int) -> list[int]:
    """Give the seq of every fact that a partition has written."""
    tables = "history", "stage_change", "identity_moved"
    seqs: list[int] = []
    for table in tables:
        rows = await engine.fetch(f"SELECT seq FROM {table} WHERE partition = $1", where)  # noqa: S608 - names
        seqs += [row["seq"] for row in rows]
    return sorted(seqs)


async def test_only_who_raced_is_loaded_and_folded_again(
    fresh: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = partition(PHONE)
    *punctual, late, merged = customers(where)
    newcomer = next(it for it in map("new-{}".format, range(500)) if partition(it) == where)
    neighbours = [*punctual, late, merged, newcomer]
    folds, race = Folds(monkeypatch, where), Race(monkeypatch, where)

    await fresh.send(
        touchpoint(NOW - 2 * HALF, anonymous=PHONE, event=ORDER),
        *(touchpoint(NOW - HALF, user=it, event=ORDER) for it in [*punctual, newcomer]),
        touchpoint(NOW - 10 * HALF, user=late, event=ORDER),
        touchpoint(NOW - HALF, user=merged, anonymous=TABLET, kind="identify"),
        touchpoint(NOW - HALF, user=ADA, event=ORDER),
    )
    await fresh.settled()

    assert len(race.tries) == 2
    assert [folds.folded[of(it)] for it in neighbours] == [1] * len(neighbours)
    assert folds.folded[of(ADA)] == 2
    assert [folds.loaded[of(it)] for it in neighbours] == [1] * len(neighbours)
    assert [it for it in [*neighbours, ADA] if published(fresh, it) != explained(fresh, it)] == []
    assert await numbers(fresh, where) == list(range(1, len(await numbers(fresh, where)) + 1))


async def test_the_touchpoints_of_a_batch_that_lost_a_race_are_counted_once(
    fresh: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = partition(PHONE)
    race, before = Race(monkeypatch, where), verdicts()
    bought = touchpoint(NOW - HALF, user=customers(where)[0], event=ORDER)

    await fresh.send(
        touchpoint(NOW - 2 * HALF, anonymous=PHONE, event=ORDER),
        bought,
        bought,
        touchpoint(NOW - HALF, user=ADA, event=ORDER),
    )
    await fresh.settled()

    assert len(race.tries) == 2
    assert verdicts() - before == {"applied": 3, "repeated": 1}


async def test_the_blocked_identifiers_of_a_batch_that_lost_a_race_are_counted_once(
    fresh: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = partition(PHONE)
    race, before = Race(monkeypatch, where), blocked()
    nobody = next(it for it in NOBODY if partition(it) == where)
    mail: dict[str, object] = {"email": "test@example.com"}

    await fresh.send(
        touchpoint(NOW - 2 * HALF, user=nobody, anonymous=PHONE, event=ORDER),
        touchpoint(NOW - HALF, user=customers(where)[0], kind="identify", traits=mail),
        touchpoint(NOW - HALF, user=ADA, event=ORDER),
    )
    await fresh.settled()

    assert len(race.tries) == 2
    assert blocked() - before == {"user_id": 1, "email": 1}


async def test_a_deadline_that_lost_a_race_fires_the_others_as_decided(
    fresh: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    where = partition(ADA)
    neighbours = [it for it in customers(where) if it != ADA]
    await fresh.send(touchpoint(NOW - 3 * HALF, user=ADA, event=ORDER))
    await fresh.settled()
    folds, race = Folds(monkeypatch, where), Race(monkeypatch, where)

    fresh.clock.set(NOW + 130 * DAY)
    await fresh.send(touchpoint(NOW - 2 * HALF, anonymous=PHONE, event=ORDER))
    await fresh.settled()

    assert len(race.tries) > 1
    assert race.tries[0].entries.keys() >= {of(ADA), *map(of, neighbours)}
    assert [folds.folded[of(it)] for it in neighbours] == [1] * len(neighbours)
    assert [it for it in [*neighbours, ADA] if published(fresh, it) != explained(fresh, it)] == []
    assert fresh.timeline("user_id", ADA)[-1].move == "lapsed"


async def test_who_loses_about_one_profile_again_and_again_forgets_nobody_else(
    fresh: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, neighbour = partition(PHONE), customers(partition(PHONE))[0]
    folds, decide = Folds(monkeypatch, where), TouchpointHandler.decide
    tries, forgotten = list[int](), list[TouchpointHandler]()

    async def overtaken(
        handler: TouchpointHandler, tx: Connection, records: Sequence[Record]
    ) -> Decided:
        batch = await decide(handler, tx, records)
        if batch.journal.partition == where and len(tries) < LOST:
            tries.append(batch.journal.first)
            statement = "UPDATE profile SET version = version + 1 WHERE id = $1"
            await fresh.fetch(statement, of(ADA))
        return batch

    monkeypatch.setattr(TouchpointHandler, "decide", overtaken)
    monkeypatch.setattr(TouchpointHandler, "forget", forgotten.append)
    await fresh.send(
        touchpoint(NOW - 2 * HALF, anonymous=PHONE, event=ORDER),
        touchpoint(NOW - HALF, user=neighbour, event=ORDER),
    )
    await fresh.settled()

    assert (len(tries), forgotten) == (LOST, [])
    assert (folds.folded[of(ADA)], folds.folded[of(neighbour)]) == (LOST + 1, 1)
    assert published(fresh, neighbour) == explained(fresh, neighbour)
