"""A worker that only beats and fences: `python -m tests.support.lease_worker URL OWNER …`.

Each batch is one record and one fact. With `--stall copy` or `--stall row` the first batch stays in
its transaction after the fence, inside a COPY or between two statements, until it is thawed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncGenerator
from typing import Any

import uvloop

from clm_common.errors import OwnershipLost, Unavailable
from clm_common.store.database import Database
from clm_common.store.offsets import Claim, Leases, fence
from tests.support.fences import SCHEMA, TOPIC

Connection = Any  # Any: asyncpg publishes no types

_COLUMNS = ["partition", "seq", "at_offset", "epoch", "owner"]
_LONG = 3600.0


class LeaseWorker:
    """The loop of one process."""

    def __init__(self, db: Database, leases: Leases, owner: str, stall: str | None) -> None:
        self._db = db
        self._leases = leases
        self._owner = owner
        self._stall = stall

    async def run(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._beat(stop))
            tasks.create_task(self._work(stop))
        await self._leases.leave()

    async def _beat(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                beat = await self._leases.beat()
                _say(f"beat {sorted(self._leases.claims)}")
                for partition in beat.surplus:
                    await self._leases.give_back(partition)
            except Unavailable as error:
                _say(f"unavailable {error}")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._leases.interval)

    async def _work(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for claim in list(self._leases.claims.values()):
                await self._batch(claim)
            await asyncio.sleep(0.02)

    async def _batch(self, claim: Claim) -> None:
        try:
            async with self._db.transaction() as tx:
                end = claim.next_offset + 1
                first = await fence(tx, claim, end=end, facts=1, lease=self._leases.lease)
                row = (claim.partition, first, claim.next_offset, claim.epoch, self._owner)
                await self._write(tx, row)
        except OwnershipLost:
            _say("lost")
            self._leases.forget(claim.partition)
        except Unavailable as error:
            _say(f"unavailable {error}")
        else:
            claim.next_offset, claim.next_seq = end, first + 1

    async def _write(self, tx: Connection, row: tuple[object, ...]) -> None:
        stall, self._stall = self._stall, None
        if stall == "copy":
            await tx.copy_records_to_table("fact", records=_stalled(row), columns=_COLUMNS)
            return
        await tx.copy_records_to_table("fact", records=[row], columns=_COLUMNS)
        if stall == "row":
            await _stall()
            await tx.execute("SELECT 1")


async def _stalled(row: tuple[object, ...]) -> AsyncGenerator[tuple[object, ...]]:
    yield row
    await _stall()


async def _stall() -> None:
    """Stay where we are until we were frozen and thawed."""
    thawed = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGCONT, thawed.set)
    _say("stalled")
    await thawed.wait()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("owner")
    parser.add_argument("--partitions", type=int, default=6)
    parser.add_argument("--lease", type=float, default=4.0)
    parser.add_argument("--stall", choices=["copy", "row"])
    given = parser.parse_args()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    seconds = _LONG if given.stall else given.lease
    async with Database(given.url, schema=SCHEMA, name=given.owner, seconds=seconds) as db:
        leases = Leases(
            db, topic=TOPIC, partitions=given.partitions, owner=given.owner, lease=given.lease
        )
        await LeaseWorker(db, leases, given.owner, given.stall).run(stop)


if __name__ == "__main__":
    uvloop.run(main())
