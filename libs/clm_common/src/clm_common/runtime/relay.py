"""The relay: publishes one partition's committed facts, exactly once and in order of seq.

The service's rows are the outbox; the position stands in Kafka, written in the same transaction as
the facts (see `bus.ports.Publisher`). In the steady state facts are handed over in memory right
after their commit, so that publishing batch n overlaps with folding batch n + 1. After a crash, a
take-over or an outage the relay asks Kafka how far it came and loads what is missing from the rows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import chain
from typing import Final, Protocol

import structlog
from msgspec import Struct

from clm_common import telemetry
from clm_common.bus.ports import Message, Publisher
from clm_common.errors import DefinitionError, Unavailable
from clm_common.runtime.retry import Backoff

log = structlog.get_logger()

CHUNK: Final = 5_000
"""Facts published in one Kafka transaction at most."""

ROOM: Final = 50_000
"""Facts that may be committed and not yet published before the worker waits."""


Pieces = Iterable[Sequence[Message]]
"""Messages in order, some at a time; see `bus.ports.Publisher.publish`."""


class Outbox(Protocol):
    """Loads facts from the service's rows."""

    async def __call__(self, after: int, limit: int) -> tuple[int, Pieces]:
        """Give the messages of the facts with `after < seq <= after + limit` that are committed.

        Returns:
            The last seq covered (`after` when there is none) and the messages in order of seq.
        """
        ...


class _Committed(Struct, frozen=True, gc=False):
    """A batch's facts, waiting in memory."""

    first: int
    last: int
    pieces: Pieces


class Relay:
    """One partition's relay; `run` it as a task for as long as the partition is owned."""

    def __init__(
        self, partition: int, publisher: Callable[[], Awaitable[Publisher]], load: Outbox
    ) -> None:
        """Make a relay.

        Args:
            partition: for logs and metrics.
            publisher: opens a new publisher of this partition.
            load: reads facts from the rows.
        """
        self._partition = partition
        self._make = publisher
        self._load = load
        self._queue: deque[_Committed] = deque()
        self._published = 0
        self._committed = 0
        self._changed = asyncio.Event()
        self._moved = asyncio.Event()

    @property
    def published(self) -> int:
        """The last seq known to be published."""
        return self._published

    @property
    def pending(self) -> int:
        """How many facts are committed and not yet published, as far as is known."""
        return max(0, self._committed - self._published)

    def start_at(self, committed: int) -> None:
        """Tell, before `run`, the last seq that is committed in the rows."""
        self._committed = committed
        self._changed.set()

    def offer(self, first: int, last: int, pieces: Pieces) -> None:
        """Hand over the facts of a batch right after its commit.

        Args:
            first: the seq of its first fact.
            last: the seq of its last fact.
            pieces: the messages of all its facts, in order of seq; read once, when their turn to be
                published has come.
        """
        self._committed = last
        self._queue.append(_Committed(first, last, pieces))
        telemetry.RELAY_PENDING.labels(self._partition).set(self.pending)
        self._changed.set()

    async def room(self, wait: float = 5.0) -> None:
        """Return when few enough facts are waiting.

        Raises:
            Unavailable: publishing has not caught up within `wait` seconds.
        """
        try:
            async with asyncio.timeout(wait):
                while self.pending > ROOM:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError as error:
            raise Unavailable(
                "relay.behind",
                f"{self.pending} facts of partition {self._partition} wait to be published",
                partition=self._partition,
            ) from error

    async def drained(self, wait: float) -> bool:
        """Wait up to `wait` seconds until everything committed is published; tell whether it is."""
        try:
            async with asyncio.timeout(wait):
                while self.pending:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Publish until cancelled.

        Raises:
            OwnershipLost: another owner of the partition publishes now.
        """
        backoff = Backoff("relay", partition=self._partition)
        while True:
            try:
                await self._serve(backoff)
            except Unavailable as error:
                await backoff.wait(error)

    def _tell(self) -> None:
        """Say how many facts wait, to whoever waits for room and to the metrics."""
        telemetry.RELAY_PENDING.labels(self._partition).set(self.pending)
        self._moved.set()

    async def _serve(self, backoff: Backoff) -> None:
        publisher = await self._make()
        try:
            self._published = await publisher.open()
            log.info("relay.opened", partition=self._partition, published=self._published)
            self._check_position()
            backoff.succeeded()
            while True:
                last, pieces = await self._next()
                await publisher.publish(pieces, seq=last)
                telemetry.RELAY_FACTS.inc(last - self._published)
                self._published = last
                self._tell()
        finally:
            await publisher.close()

    def _check_position(self) -> None:
        if self._published > self._committed:
            raise DefinitionError(
                "relay.ahead",
                f"partition {self._partition}: facts up to {self._published} are published, but "
                f"the rows end at {self._committed}; the database is older than the topics "
                "(restored from a backup?): restore a newer one, or rebuild the topics",
                partition=self._partition,
            )

    async def _next(self) -> tuple[int, Pieces]:
        """Give the next facts to publish, out of memory where they are there, else of the rows."""
        while True:
            self._changed.clear()
            while self._queue and self._queue[0].last <= self._published:
                self._queue.popleft()
            if self._queue and self._queue[0].first == self._published + 1:
                return self._take()
            if self._committed > self._published:
                return await self._reload()
            await self._changed.wait()

    def _take(self) -> tuple[int, Pieces]:
        """Take what lies first in the queue, as much as one transaction should hold."""
        head = self._queue.popleft()
        last, taken = head.last, [head.pieces]
        while self._queue and self._queue[0].last - head.first < CHUNK:
            following = self._queue.popleft()
            last = following.last
            taken.append(following.pieces)
        return last, chain.from_iterable(taken)

    async def _reload(self) -> tuple[int, Pieces]:
        last, pieces = await self._load(self._published, CHUNK)
        if last > self._published:
            return last, pieces
        raise Unavailable(
            "relay.gap",
            f"facts after seq {last} of partition {self._partition} are not in the rows yet",
            partition=self._partition,
        )
