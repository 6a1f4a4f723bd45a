"""Who owns a partition and how far it is: the fence and the leases, in one row per partition.

The row `consumer_partition` holds the position (`next_offset`, `next_seq`) and the ownership
(`owner`, `epoch`, `lease_until`). An owner is who took the row last: each change of ownership
raises `epoch`, and a batch is only written where `epoch` and `next_offset` are still the claim's
(`fence`). So a lease only decides who works; that nobody writes twice is decided by the fence.

Times are PostgreSQL's, never a worker's. Every statement here is a transaction of its own, so that
a worker that freezes between two of them holds no lock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple

import structlog
from msgspec import Struct

from clm_common.errors import OwnershipLost
from clm_common.store import statements
from clm_common.store.database import Connection, Database
from clm_common.store.shares import fair_share

log = structlog.get_logger()

TABLES: Final = (
    """
    CREATE TABLE consumer_partition (
        topic text NOT NULL,
        partition integer NOT NULL,
        next_offset bigint NOT NULL DEFAULT 0,
        next_seq bigint NOT NULL DEFAULT 1,
        epoch bigint NOT NULL DEFAULT 0,
        owner text,
        lease_until timestamptz,
        PRIMARY KEY (topic, partition)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE worker (
        topic text NOT NULL,
        id text NOT NULL,
        seen_until timestamptz NOT NULL,
        PRIMARY KEY (topic, id)
    ) WITH (fillfactor = 50)
    """,
)
"""What a service's first migration creates; see `store.upgrading.create_fence`."""

_FENCE: Final = """
    UPDATE consumer_partition AS held
    SET next_offset = moved.until, next_seq = held.next_seq + moved.facts,
        lease_until = clock_timestamp() + $7::interval
    FROM unnest($2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
        AS moved (partition, epoch, since, until, facts)
    WHERE held.topic = $1 AND held.partition = moved.partition AND held.epoch = moved.epoch
        AND held.next_offset = moved.since
    RETURNING held.partition, held.next_seq - moved.facts
"""


class Claim(Struct):
    """What an owner knows of its partition.

    Attributes:
        topic: the topic's name.
        partition: the partition's number.
        epoch: the ownership's number; a batch is written under no other.
        next_offset: the offset of the next record to handle; the worker moves it after a commit.
        next_seq: the number of the next fact; likewise.
    """

    topic: str
    partition: int
    epoch: int
    next_offset: int
    next_seq: int


class Beat(Struct, frozen=True):
    """What a beat changed.

    Attributes:
        taken: partitions owned from now on.
        lost: partitions that somebody else has taken; nothing of them can be written any more.
        surplus: partitions above the fair share: give each back between two of its batches.
    """

    taken: Sequence[Claim] = ()
    lost: Sequence[int] = ()
    surplus: Sequence[int] = ()


class Step(NamedTuple):
    """A move of a partition's position.

    Attributes:
        claim: the ownership and where the batch begins.
        end: the offset after the batch's last record.
        facts: how many sequence numbers the batch needs.
    """

    claim: Claim
    end: int
    facts: int


async def fence(tx: Connection, claim: Claim, *, end: int, facts: int, lease: float) -> int:
    """Prove the ownership and move the position, in the transaction that writes the batch.

    From then on until the commit nobody else can take the partition. The claim itself is not
    changed: move its `next_offset` and `next_seq` after the commit.

    Args:
        tx: an asyncpg connection in a transaction.
        claim: the ownership and where the batch begins.
        end: the offset after the batch's last record.
        facts: how many sequence numbers the batch needs.
        lease: seconds; the lease is renewed too.

    Returns:
        The first of the `facts` sequence numbers.

    Raises:
        OwnershipLost: somebody else has taken the partition, or an earlier try of this batch did
            commit. Nothing may be written; the transaction must be rolled back.
    """
    firsts = await fence_all(tx, [Step(claim, end, facts)], lease=lease)
    if claim.partition not in firsts:
        raise lost(claim)
    return firsts[claim.partition]


async def fence_all(tx: Connection, steps: Sequence[Step], *, lease: float) -> Mapping[int, int]:
    """Fence several partitions of one topic at once; see `fence`.

    Returns:
        The first sequence number of each partition whose ownership was proved. Where one is
        missing the transaction must be rolled back.
    """
    rows = await tx.fetch(
        _FENCE,
        steps[0].claim.topic,
        [it.claim.partition for it in steps],
        [it.claim.epoch for it in steps],
        [it.claim.next_offset for it in steps],
        [it.end for it in steps],
        [it.facts for it in steps],
        timedelta(seconds=lease),
    )
    return dict(map(tuple, rows))


def lost(claim: Claim) -> OwnershipLost:
    """Give what says that a claim does not hold any more."""
    return OwnershipLost(
        "partition.lost",
        f"partition {claim.partition} of {claim.topic} has moved on since epoch {claim.epoch}",
        topic=claim.topic,
        partition=claim.partition,
        epoch=claim.epoch,
    )


class Leases:
    """One process's share of a topic's partitions.

    Every live worker beats; each takes what is free up to its fair share and names what it holds
    beyond it. Nobody waits for anybody: rows that are locked are passed over.
    While PostgreSQL is away nobody can own, and every method raises `Unavailable`.
    """

    def __init__(
        self, db: Database, *, topic: str, partitions: int, owner: str, lease: float
    ) -> None:
        """Hold nothing yet.

        Args:
            db: the service's database, whose sessions carry `owner` as their name: a successor
                ends them, so that a frozen owner cannot hold its rows locked.
            topic: the topic's name.
            partitions: how many partitions it has.
            owner: this process; must differ at every start.
            lease: seconds after which a silent owner is replaced.
        """
        self._db = db
        self._topic = topic
        self._partitions = partitions
        self._owner = owner
        self._lease = lease
        self._claims: dict[int, Claim] = {}
        self._dropped: dict[int, int] = {}
        self._joined = False

    @property
    def lease(self) -> float:
        """Seconds a lease lasts."""
        return self._lease

    @property
    def interval(self) -> float:
        """Seconds between two beats."""
        return min(1.0, self._lease / 4)

    @property
    def claims(self) -> Mapping[int, Claim]:
        """What it holds, by partition."""
        return self._claims

    async def beat(self) -> Beat:
        """Renew membership and leases, take what is free, name what is too much.

        Raises:
            Unavailable: PostgreSQL is away; what is held stays held until a beat says otherwise.
        """
        async with self._db.connection() as raw:
            if not self._joined:
                await raw.execute(statements.JOIN, self._topic, self._partitions)
                self._joined = True
            if self._dropped:
                await self._free(raw, self._dropped)
            rows: list[Any] = await raw.fetch(
                statements.BEAT, *self._me, *self._held()
            )  # Any: asyncpg's
            lost = self._lost(rows)
            spare = fair_share(self._loads(rows, lost), self._owner, self._partitions) - (
                len(self._claims) - len(lost)
            )
            taken = await self._take(raw, rows, spare) if spare > 0 else []
        for partition in lost:
            self._claims.pop(partition, None)
        self._claims.update({claim.partition: claim for claim in taken})
        surplus = sorted(self._claims)[spare:] if spare < 0 else []
        return Beat(taken, lost, surplus)

    def forget(self, partition: int) -> None:
        """Drop a claim that a fence refused; the next beat frees the row if it is still ours."""
        if claim := self._claims.pop(partition, None):
            self._dropped[partition] = claim.epoch

    async def give_back(self, partition: int) -> None:
        """Free a partition for the others; nothing may be written under its claim any more.

        Raises:
            Unavailable: PostgreSQL is away; the next beat frees it.
        """
        self.forget(partition)
        async with self._db.connection() as raw:
            await self._free(raw, self._dropped)

    async def leave(self) -> None:
        """Free everything and be counted no more; for a worker that stops.

        Raises:
            Unavailable: PostgreSQL is away; the leases run out by themselves.
        """
        for partition in list(self._claims):
            self.forget(partition)
        async with self._db.transaction() as tx:
            await self._free(tx, self._dropped)
            await tx.execute(statements.LEAVE, self._topic, self._owner)

    @property
    def _me(self) -> tuple[str, str, timedelta]:
        return self._topic, self._owner, timedelta(seconds=self._lease)

    def _held(self) -> tuple[list[int], list[int]]:
        return list(self._claims), [claim.epoch for claim in self._claims.values()]

    def _lost(self, rows: Sequence[Any]) -> list[int]:  # Any: asyncpg's rows
        """Name the claims that the rows do not bear out."""
        epochs = {row["partition"]: row["epoch"] for row in rows if row["owner"] == self._owner}
        return [each for each, claim in self._claims.items() if epochs.get(each) != claim.epoch]

    def _loads(self, rows: Sequence[Any], lost: Sequence[int]) -> Mapping[str, int]:
        """Count what each live worker holds; members that hold nothing count too."""
        loads = Counter({row["owner"]: 0 for row in rows if row["partition"] is None})
        loads.update(row["owner"] for row in rows if row["partition"] is not None and row["live"])
        loads[self._owner] = len(self._claims) - len(lost)
        return loads

    async def _take(self, raw: Connection, rows: Sequence[Any], wanted: int) -> list[Claim]:
        """Take up to so many free or expired partitions; their silent owners are shut out first."""
        silent = sorted({row["owner"] for row in rows if not row["live"]} - {self._owner})
        if silent:
            await raw.execute(statements.END_SESSIONS, silent)
            log.warning("partition.owners_silent", owners=silent)
        found = await raw.fetch(statements.TAKE, *self._me, list(self._claims), wanted)
        return [Claim(self._topic, *row) for row in found]

    async def _free(self, raw: Connection, dropped: dict[int, int]) -> None:
        await raw.execute(
            statements.FREE, self._topic, self._owner, list(dropped), list(dropped.values())
        )
        dropped.clear()
