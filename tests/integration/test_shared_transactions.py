"""Batches of several partitions in one transaction, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from collections.abc import Set as AbstractSet

import pytest
from msgspec import Struct

from clm_common.errors import OwnershipLost, RaceLost, Unavailable
from clm_common.runtime.handler import Connection, Refusal
from clm_common.runtime.sharing import MOST, Shared
from clm_common.store.database import Database
from clm_common.store.offsets import Claim, Leases
from tests.support.fences import SCHEMA, TOPIC, create_schema

LEASE = 4.0
PARTITIONS = 6


class Facts(Struct, eq=False):
    """A batch that writes facts of its partition, and the error that it raises when it does."""

    claim: Claim
    touched: AbstractSet[object] | None = frozenset()
    facts: int = 1
    error: Exception | None = None
    writings: int = 0
    refused: Sequence[Refusal] = ()

    async def write(self, tx: Connection, first_seq: int) -> None:
        claim = self.claim
        self.writings += 1
        rows = [
            (claim.partition, first_seq + it, claim.next_offset + it, claim.epoch, "ann")
            for it in range(self.facts)
        ]
        await tx.copy_records_to_table("fact", records=rows)
        if self.error is not None:
            raise self.error

    def committed(self) -> None: ...


class Raced(RaceLost):
    """Names the rows that have changed."""

    def __init__(self, *rows: object) -> None:
        super().__init__("row.changed", "a row has changed")
        self.rows = frozenset(rows)


async def write(tx: Connection, numbered: Sequence[tuple[Facts, int]]) -> None:
    for batch, first in numbered:
        await batch.write(tx, first)


class Desk:
    """Partitions that one worker owns, and how their batches are written."""

    def __init__(self, db: Database, claims: Sequence[Claim]) -> None:
        self.db = db
        self.claims = {it.partition: it for it in claims}
        self.shared = Shared(db, LEASE, write)

    async def write(self, *batches: Facts) -> list[int | BaseException]:
        """Write batches that are decided at the same time."""
        ends = [(it.claim, it.claim.next_offset + it.facts, it) for it in batches]
        writing = [self.shared.write(*each) for each in ends]
        return await asyncio.gather(*writing, return_exceptions=True)

    async def transactions(self) -> list[list[int]]:
        """Give the partitions whose facts were written in one transaction, in order."""
        async with self.db.connection() as raw:
            rows = await raw.fetch(
                "SELECT array_agg(DISTINCT partition ORDER BY partition) AS partitions FROM fact"
                " GROUP BY xmin::text ORDER BY min(ctid)"
            )
        return [row["partitions"] for row in rows]


@pytest.fixture
async def desk(database_url: str) -> AsyncGenerator[Desk]:
    await create_schema(database_url)
    async with Database(database_url, schema=SCHEMA, name="ann") as db:
        leases = Leases(db, topic=TOPIC, partitions=PARTITIONS, owner="ann", lease=LEASE)
        claims: list[Claim] = []
        async with asyncio.timeout(30):
            while len(claims) < PARTITIONS:
                claims += (await leases.beat()).taken
                await asyncio.sleep(0.05)
        yield Desk(db, claims)


async def test_batches_that_are_decided_at_the_same_time_are_written_in_one_transaction(
    desk: Desk,
) -> None:
    found = await desk.write(*(Facts(it, {it.partition}) for it in desk.claims.values()))

    assert found == [1] * PARTITIONS
    assert await desk.transactions() == [[*range(PARTITIONS)]]


async def test_who_comes_while_one_is_on_its_way_goes_with_the_next(desk: Desk) -> None:
    began, goes_on = asyncio.Event(), asyncio.Event()

    async def slow(tx: Connection, numbered: Sequence[tuple[Facts, int]]) -> None:
        began.set()
        await goes_on.wait()
        await write(tx, numbered)

    desk.shared = Shared(desk.db, LEASE, slow)
    first = asyncio.create_task(desk.write(Facts(desk.claims[0])))
    await began.wait()
    others = asyncio.create_task(desk.write(*(Facts(desk.claims[it]) for it in (1, 2, 3))))
    await asyncio.sleep(0.05)
    goes_on.set()
    await asyncio.gather(first, others)

    assert await desk.transactions() == [[0], [1, 2, 3]]


async def test_those_that_touch_the_same_are_written_one_after_the_other(desk: Desk) -> None:
    touched = [{"ada"}, {"bob"}, {"ada", "eve"}, {"eve"}, {"kim"}, {"bob"}]

    found = await desk.write(*(Facts(desk.claims[it], each) for it, each in enumerate(touched)))

    assert found == [1] * PARTITIONS
    assert await desk.transactions() == [[0, 1, 3, 4], [2, 5]]


async def test_a_batch_that_has_to_be_is_written_by_itself(desk: Desk) -> None:
    found = await desk.write(
        Facts(desk.claims[0]), Facts(desk.claims[1], None), Facts(desk.claims[2])
    )

    assert found == [1, 1, 1]
    assert sorted(await desk.transactions()) == [[0, 2], [1]]


async def test_one_transaction_holds_so_many_facts_at_most_but_any_one_batch(desk: Desk) -> None:
    sizes = [MOST - 1, 1, 2, MOST + 1]

    found = await desk.write(*(Facts(desk.claims[it], facts=size) for it, size in enumerate(sizes)))

    assert found == [1] * len(sizes)
    assert sorted(await desk.transactions()) == [[0, 1], [2], [3]]


async def test_who_has_lost_its_partition_is_told_and_the_others_are_written(desk: Desk) -> None:
    outdated = Claim(TOPIC, 1, desk.claims[1].epoch - 1, 0, 1)
    batches = [Facts(it) for it in (desk.claims[0], outdated, desk.claims[2])]

    first, second, third = await desk.write(*batches)

    assert (first, third) == (1, 1)
    assert isinstance(second, OwnershipLost)
    assert await desk.transactions() == [[0, 2]]


async def test_who_lost_a_race_is_told_and_the_others_are_written_as_they_were_decided(
    desk: Desk,
) -> None:
    raced = Facts(desk.claims[1], {"ada"}, error=Raced("ada"))
    others = [Facts(desk.claims[it], {f"other-{it}"}) for it in (0, 2, 3)]

    told, *found = await desk.write(raced, *others)

    assert isinstance(told, Raced)
    assert found == [1, 1, 1]
    assert await desk.transactions() == [[0, 2, 3]]
    assert raced.writings == 1


async def test_where_nobody_knows_who_lost_a_race_each_is_written_by_itself(desk: Desk) -> None:
    raced = Facts(desk.claims[1], {"ada"}, error=RaceLost("identity.moved", "it has moved"))
    others = [Facts(desk.claims[it], {f"other-{it}"}) for it in (0, 2, 3)]

    told, *found = await desk.write(raced, *others)

    assert isinstance(told, RaceLost)
    assert found == [1, 1, 1]
    assert sorted(await desk.transactions()) == [[0], [2], [3]]


async def test_when_the_database_goes_away_all_are_told(desk: Desk) -> None:
    gone = Facts(desk.claims[1], error=Unavailable("store.away", "it is away"))

    found = await desk.write(Facts(desk.claims[0]), gone, Facts(desk.claims[2]))

    assert [type(it) for it in found] == [Unavailable] * 3
    assert await desk.transactions() == []


async def test_a_batch_whose_partition_was_left_is_not_written(desk: Desk) -> None:
    left = Facts(desk.claims[1])
    waiting = asyncio.create_task(desk.write(left))
    await asyncio.sleep(0)
    waiting.cancel()

    await desk.write(Facts(desk.claims[0]))

    assert left.writings == 0
    assert await desk.transactions() == [[0]]


async def test_closing_gives_up_what_is_on_its_way(desk: Desk) -> None:
    began = asyncio.Event()

    async def stuck(tx: Connection, numbered: Sequence[tuple[Facts, int]]) -> None:
        await write(tx, numbered)
        began.set()
        await asyncio.Event().wait()

    desk.shared = Shared(desk.db, LEASE, stuck)
    waiting = asyncio.create_task(desk.write(Facts(desk.claims[0])))
    await began.wait()
    await desk.shared.close()

    assert [type(it) for it in await waiting] == [asyncio.CancelledError]
    assert await desk.transactions() == []
