"""A worker before a backlog of which it cannot handle much at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from clm_common.bus.memory import MemoryBroker, MemoryProducer, MemoryReader
from clm_common.bus.ports import Message, Record
from clm_common.clock import SystemClock
from clm_common.errors import Unavailable
from clm_common.runtime.handler import Connection, Refusal
from clm_common.runtime.worker import Worker
from clm_common.store.database import Database
from clm_common.store.offsets import Claim, Leases
from tests.support.fences import SCHEMA, TOPIC, create_schema

BACKLOG: Final = 3_000
BEARABLE: Final = 120
"""Records that a transaction bears; more of them take longer than it may."""


class Handled(Struct, frozen=True):
    """A batch of which nothing is written but its position."""

    facts: int = 0
    refused: Sequence[Refusal] = ()

    async def write(self, tx: Connection, first_seq: int) -> None: ...

    def committed(self) -> None: ...


class Handler:
    """Bears few records at once; what it is given and bears is noted."""

    def __init__(self, handled: list[int]) -> None:
        self._handled = handled

    async def decide(self, tx: Connection, records: Sequence[Record]) -> Handled:  # noqa: ARG002 - reads nothing
        await asyncio.sleep(0)
        if len(records) > BEARABLE:
            raise Unavailable("database.away", "the transaction took too long")
        self._handled += [record.offset for record in records]
        return Handled()

    async def wake(self, tx: Connection) -> Handled | None: ...

    def forget(self) -> None: ...

    async def close(self) -> None: ...


async def test_a_backlog_that_is_too_much_at_once_is_handled_in_smaller_pieces(
    database_url: str,
) -> None:
    await create_schema(database_url)
    broker, handled, stop = MemoryBroker(), list[int](), asyncio.Event()
    await MemoryProducer(broker).publish([Message(TOPIC, b"ada", b"{}")] * BACKLOG)

    async def open_handler(claim: Claim) -> Handler:  # noqa: ARG001 - all partitions are alike
        return Handler(handled)

    async with Database(database_url, schema=SCHEMA, name="ann") as db:
        partitions = len(broker.partitions(TOPIC))
        worker = Worker(
            topic=TOPIC,
            reader=MemoryReader(broker),
            producer=MemoryProducer(broker),
            database=db,
            leases=Leases(db, topic=TOPIC, partitions=partitions, owner="ann", lease=4.0),
            open_handler=open_handler,
            clock=SystemClock(),
        )
        running = asyncio.create_task(worker.run(stop))
        async with asyncio.timeout(60):
            while len(handled) < BACKLOG:  # noqa: ASYNC110 - a handler's doing
                await asyncio.sleep(0.05)
        stop.set()
        await running

    assert handled == list(range(BACKLOG))
