"""Confirms erasures: tells stage-engine, on `clm.erasures`, what this service has forgotten.

The answer is published before the row says so: after a crash in between it is published again, and
the first one counts. What was forgotten long ago is dropped.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from clm_common.bus.ports import Message, Producer
from clm_common.contracts.erasure import ErasureConfirmed
from clm_common.contracts.topics import ERASURES
from clm_common.errors import RaceLost, Unavailable
from clm_common.instant import from_datetime, to_rfc3339
from clm_common.runtime.retry import Backoff, pause
from clm_common.store.database import Database

Row = Any  # Any: asyncpg publishes no types; a record

BATCH: Final = 500

REST: Final = 1.0
"""Seconds between two looks while there is nothing to confirm."""

PATIENCE: Final = 2.0
"""Seconds publishing may take while the rows are locked."""

_UNCONFIRMED: Final = """
    SELECT profile_id, erasure, part, done_at FROM forgotten
    WHERE confirmed_at IS NULL ORDER BY done_at LIMIT $1 FOR UPDATE SKIP LOCKED
"""

_CONFIRMED: Final = """
    UPDATE forgotten SET confirmed_at = now()
    FROM unnest($1::uuid[], $2::uuid[]) AS told (profile_id, erasure)
    WHERE forgotten.profile_id = told.profile_id AND forgotten.erasure = told.erasure
"""

_DROP: Final = """
    DELETE FROM forgotten WHERE confirmed_at < now() - interval '21 days'
"""  # three times as long as the river keeps its records


class Confirmations:
    """One process's part in confirming; `run` it as a task."""

    def __init__(self, database: Database, producer: Producer, service: str) -> None:
        """Make it.

        Args:
            database: a schema with the tables of `store.forgotten`.
            producer: publishes the answers.
            service: who answers.
        """
        self._database = database
        self._producer = producer
        self._service = service

    async def run(self, stop: asyncio.Event) -> None:
        """Confirm until `stop` is set."""
        backoff = Backoff("confirmations")
        while not stop.is_set():
            try:
                if not await self.confirm():
                    await pause(stop, REST)
                backoff.succeeded()
            except (Unavailable, RaceLost, TimeoutError) as error:
                await backoff.wait_or_stop(error, stop)

    async def confirm(self) -> int:
        """Confirm what is not confirmed yet; gives how much that was.

        Raises:
            Unavailable: PostgreSQL or Kafka is away.
            TimeoutError: Kafka did not answer in time.
        """
        async with self._database.transaction() as tx:
            rows = await tx.fetch(_UNCONFIRMED, BATCH)
            if rows:
                async with asyncio.timeout(PATIENCE):
                    await self._producer.publish([self._answer(row) for row in rows])
                told = [row["profile_id"] for row in rows], [row["erasure"] for row in rows]
                await tx.execute(_CONFIRMED, *told)
                await tx.execute(_DROP)
        return len(rows)

    def _answer(self, row: Row) -> Message:
        done = to_rfc3339(from_datetime(row["done_at"]))
        answer = ErasureConfirmed(row["erasure"], row["part"], self._service, done)
        return Message(ERASURES.name, str(row["erasure"]).encode(), msgspec.json.encode(answer))
