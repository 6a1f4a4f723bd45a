"""The fence and the leases on a real PostgreSQL, in interleavings that are laid down here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta

import pytest

from clm_common.errors import OwnershipLost, Unavailable
from clm_common.store.database import Connection, Database
from clm_common.store.offsets import Claim, Leases, fence
from tests.support.fences import SCHEMA, TOPIC, create_schema, owners
from tests.support.servers import PostgresNode

LEASE = 4.0


@pytest.fixture
async def db(database_url: str) -> AsyncGenerator[Database]:
    await create_schema(database_url)
    async with Database(database_url, schema=SCHEMA, name="observer") as db:
        await until_settled(db)
        yield db


async def until_settled(db: Database) -> None:
    """Wait until the server is up for longer than the lease that everybody gets at its start."""
    async with db.connection() as raw:
        up: timedelta = await raw.fetchval("SELECT clock_timestamp() - pg_postmaster_start_time()")
    await asyncio.sleep(max(0.0, LEASE - up.total_seconds()))


def worker(db: Database, owner: str, *, partitions: int = 1, lease: float = LEASE) -> Leases:
    return Leases(db, topic=TOPIC, partitions=partitions, owner=owner, lease=lease)


async def expire(db: Database, owner: str) -> None:
    """Let a worker's leases run out as if it had been silent for long."""
    past = timedelta(minutes=1)
    async with db.connection() as raw:
        await raw.execute(
            "UPDATE consumer_partition SET lease_until = clock_timestamp() - $2::interval"
            " WHERE owner = $1",
            owner,
            past,
        )
        await raw.execute(
            "UPDATE worker SET seen_until = clock_timestamp() - $2::interval WHERE id = $1",
            owner,
            past,
        )


async def write_batch(db: Database, claim: Claim, owner: str, *, records: int) -> None:
    """Handle so many records, a fact each."""
    async with db.transaction() as tx:
        first = await fence(tx, claim, end=claim.next_offset + records, facts=records, lease=LEASE)
        await write_facts(tx, claim, owner, first, records)
    claim.next_offset += records
    claim.next_seq = first + records


async def write_facts(tx: Connection, claim: Claim, owner: str, first: int, records: int) -> None:
    rows = [
        (claim.partition, first + each, claim.next_offset + each, claim.epoch, owner)
        for each in range(records)
    ]
    await tx.copy_records_to_table("fact", records=rows)


async def facts(db: Database) -> list[tuple[int, int, str]]:
    async with db.connection() as raw:
        rows = await raw.fetch("SELECT seq, at_offset, owner FROM fact ORDER BY seq")
    return [tuple(row) for row in rows]


async def test_the_batch_of_an_owner_that_was_overtaken_changes_nothing(db: Database) -> None:
    first, second = worker(db, "first"), worker(db, "second")
    (old,) = (await first.beat()).taken
    read, overtaken = asyncio.Event(), asyncio.Event()

    async def pausing_batch() -> None:
        async with db.transaction() as tx:
            await tx.fetch("SELECT * FROM fact")
            read.set()
            await overtaken.wait()
            seq = await fence(tx, old, end=5, facts=5, lease=LEASE)
            await write_facts(tx, old, "first", seq, 5)

    paused = asyncio.create_task(pausing_batch())
    await read.wait()
    await expire(db, "first")
    (new,) = (await second.beat()).taken
    await write_batch(db, new, "second", records=2)
    overtaken.set()

    with pytest.raises(OwnershipLost):
        await paused
    assert await facts(db) == [(1, 0, "second"), (2, 1, "second")]
    assert (await first.beat()).lost == [0]


async def test_an_overtaken_owner_is_shut_out_although_its_successor_wrote_nothing(
    db: Database,
) -> None:
    first, second = worker(db, "first"), worker(db, "second")
    (old,) = (await first.beat()).taken
    await expire(db, "first")
    await second.beat()

    with pytest.raises(OwnershipLost):
        await write_batch(db, old, "first", records=1)

    assert await facts(db) == []


async def test_a_batch_renews_the_lease(db: Database) -> None:
    (claim,) = (await worker(db, "ann").beat()).taken
    await expire(db, "ann")

    await write_batch(db, claim, "ann", records=1)

    assert await owners(db) == {0: "ann"}


async def test_a_fence_that_held_keeps_a_taker_out_until_the_commit(db: Database) -> None:
    first, second = worker(db, "first"), worker(db, "second")
    (claim,) = (await first.beat()).taken

    async with db.transaction() as tx:
        seq = await fence(tx, claim, end=1, facts=1, lease=LEASE)
        await expire_membership(db, "first")
        assert (await second.beat()).taken == []
        await write_facts(tx, claim, "first", seq, 1)

    assert (await second.beat()).taken == []
    assert await facts(db) == [(1, 0, "first")]


async def expire_membership(db: Database, owner: str) -> None:
    async with db.connection() as raw:
        await raw.execute("UPDATE worker SET seen_until = '-infinity' WHERE id = $1", owner)


async def test_a_fence_gives_out_sequence_numbers_without_gaps(db: Database) -> None:
    (claim,) = (await worker(db, "ann").beat()).taken

    await write_batch(db, claim, "ann", records=3)
    await write_batch(db, claim, "ann", records=2)

    assert [seq for seq, _, _ in await facts(db)] == [1, 2, 3, 4, 5]
    assert (claim.next_offset, claim.next_seq) == (5, 6)


async def test_a_rolled_back_batch_leaves_the_position_where_it_was(db: Database) -> None:
    (claim,) = (await worker(db, "ann").beat()).taken

    with pytest.raises(RuntimeError, match="the fold failed"):
        await fail_after_fence(db, claim)
    await write_batch(db, claim, "ann", records=1)

    assert await facts(db) == [(1, 0, "ann")]


async def fail_after_fence(db: Database, claim: Claim) -> None:
    async with db.transaction() as tx:
        await fence(tx, claim, end=9, facts=9, lease=LEASE)
        raise RuntimeError("the fold failed")


async def test_the_same_batch_is_not_written_twice(db: Database) -> None:
    (claim,) = (await worker(db, "ann").beat()).taken
    unmoved = Claim(TOPIC, 0, claim.epoch, 0, 1)
    await write_batch(db, claim, "ann", records=2)

    with pytest.raises(OwnershipLost):
        await write_batch(db, unmoved, "ann", records=2)

    assert len(await facts(db)) == 2


async def test_nothing_is_written_under_a_claim_that_was_given_back(db: Database) -> None:
    ann = worker(db, "ann")
    (claim,) = (await ann.beat()).taken
    await ann.give_back(0)

    with pytest.raises(OwnershipLost):
        await write_batch(db, claim, "ann", records=1)


async def test_a_successor_goes_on_where_the_predecessor_stopped(db: Database) -> None:
    ann, bob = worker(db, "ann"), worker(db, "bob")
    (claim,) = (await ann.beat()).taken
    await write_batch(db, claim, "ann", records=4)
    await ann.leave()

    (successor,) = (await bob.beat()).taken

    assert (successor.next_offset, successor.next_seq) == (4, 5)
    assert successor.epoch > claim.epoch


async def test_a_lease_that_ran_out_untaken_is_renewed_by_its_owner(db: Database) -> None:
    ann = worker(db, "ann", partitions=2)
    await ann.beat()
    await expire(db, "ann")

    beat = await ann.beat()

    assert (beat.taken, beat.lost) == ([], [])
    assert await owners(db) == {0: "ann", 1: "ann"}


async def test_a_claim_that_a_fence_refused_is_taken_anew_at_the_next_beat(db: Database) -> None:
    ann = worker(db, "ann")
    (claim,) = (await ann.beat()).taken
    ann.forget(0)

    (again,) = (await ann.beat()).taken

    assert again.epoch > claim.epoch


async def test_a_worker_beyond_its_share_names_what_it_should_give_back(db: Database) -> None:
    ann, bob = worker(db, "ann", partitions=5), worker(db, "bob", partitions=5)
    await ann.beat()
    assert (await bob.beat()).taken == []

    surplus = (await ann.beat()).surplus
    for partition in surplus:
        await ann.give_back(partition)
    taken = [claim.partition for claim in (await bob.beat()).taken]

    assert surplus == [3, 4]
    assert sorted(taken) == [3, 4]
    assert (await ann.beat()).surplus == []


async def test_an_uneven_remainder_does_not_wander(db: Database) -> None:
    ann, bob = worker(db, "ann", partitions=3), worker(db, "bob", partitions=3)
    await bob.beat()
    await ann.beat()
    for partition in (await bob.beat()).surplus:
        await bob.give_back(partition)
    await ann.beat()

    beats = [await each.beat() for each in (ann, bob, ann, bob)]

    assert all(not (beat.taken or beat.lost or beat.surplus) for beat in beats)
    assert sorted(map(str, (await owners(db)).values())) == ["ann", "bob", "bob"]


async def test_a_locked_row_keeps_no_beat_waiting(db: Database) -> None:
    ann = worker(db, "ann", partitions=2)
    await ann.beat()

    async with db.transaction() as tx:
        await tx.execute("SELECT FROM consumer_partition WHERE partition = 0 FOR UPDATE")
        async with asyncio.timeout(1):
            beat = await ann.beat()

    assert (beat.taken, beat.lost) == ([], [])


async def test_a_worker_that_joins_is_not_kept_waiting_by_a_locked_row(db: Database) -> None:
    ann, bob = worker(db, "ann", partitions=2), worker(db, "bob", partitions=2)
    claims = (await ann.beat()).taken

    async with db.transaction() as tx:
        await fence(tx, claims[0], end=1, facts=1, lease=LEASE)
        async with asyncio.timeout(1):
            await bob.beat()


async def test_leases_live_through_a_crash_of_the_server(
    postgres_node: Callable[[], PostgresNode],
) -> None:
    node = postgres_node()
    await node.start()
    url = await node.server.create()
    await create_schema(url)
    async with (
        Database(url, schema=SCHEMA, name="ann") as one,
        Database(url, schema=SCHEMA, name="bob") as two,
    ):
        ann, bob = worker(one, "ann", partitions=2), worker(two, "bob", partitions=2)
        await ann.beat()
        await bob.beat()
        for partition in (await ann.beat()).surplus:
            await ann.give_back(partition)
        await bob.beat()

        node.kill()
        await expect_unavailable(ann)
        held = dict(ann.claims)
        await asyncio.sleep(LEASE)
        await node.start()
        beats = [await ann.beat(), await bob.beat()]

        assert ann.claims == held
        assert all(not (beat.taken or beat.lost or beat.surplus) for beat in beats)


async def expect_unavailable(leases: Leases) -> None:
    with pytest.raises(Unavailable):
        await leases.beat()
