"""Reports: tells everybody else about sent messages, as `Message Sent` touchpoints.

The touchpoint is published before the row says so: after a crash in between it is published again,
with the same message id, and counts once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import structlog

from clm_common.bus.ports import Message, Producer
from clm_common.errors import InvalidMessage, RaceLost, Unavailable
from clm_common.runtime.retry import Backoff
from clm_common.store.database import Database
from clm_engagement.core.outcome import Sent, touchpoint_of
from clm_engagement.store import aftermath

log = structlog.get_logger()

BATCH: Final = 200
REST: Final = 1.0
"""Seconds between two looks while nothing is sent."""

PATIENCE: Final = 2.0
"""Seconds publishing may take while the rows are locked."""


class Reports:
    """One process's part in reporting."""

    def __init__(self, database: Database, producer: Producer) -> None:
        """Make it.

        Args:
            database: the service's schema.
            producer: publishes the touchpoints.
        """
        self._database = database
        self._producer = producer
        self._news = asyncio.Event()

    def wake(self) -> None:
        """Look now: something was sent."""
        self._news.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Report until `stop` is set."""
        backoff = Backoff("reports")
        while not stop.is_set():
            try:
                if not await self.report():
                    await self._rest(stop)
                backoff.succeeded()
            except (Unavailable, RaceLost, TimeoutError) as error:
                await backoff.wait_or_stop(error, stop)

    async def report(self) -> int:
        """Report some messages; gives how many.

        Raises:
            Unavailable: PostgreSQL or Kafka is away.
            TimeoutError: Kafka did not answer in time.
        """
        async with self._database.transaction() as tx:
            sent = await aftermath.load_unreported(tx, BATCH)
            if sent:
                async with asyncio.timeout(PATIENCE):
                    await self._producer.publish(_touchpoints(sent))
                await aftermath.save_reported(tx, [it.id for it in sent])
        return len(sent)

    async def _rest(self, stop: asyncio.Event) -> None:
        waits = {asyncio.ensure_future(self._news.wait()), asyncio.ensure_future(stop.wait())}
        await asyncio.wait(waits, timeout=REST, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        self._news.clear()


def _touchpoints(sent: Iterable[Sent]) -> list[Message]:
    found: list[Message] = []
    for it in sent:
        try:
            found.append(touchpoint_of(it))
        except InvalidMessage as error:
            log.warning("message.unreportable", message=str(it.id), reason=error.slug)
    return found
