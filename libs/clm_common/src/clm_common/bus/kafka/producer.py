"""The group-commit producer: calls that arrive together share batches and requests.

While one flush is on its way the calls that arrive fill the next, which leaves as soon as the
first is acknowledged. So the load itself sets the size of the batches. Where calls are many and
small, a flush may wait a moment (`linger`) for those that the acknowledgement sets free to call
again: else one half of the callers would wait for the other, and each flush carry a half of them.

What is promised:

- `publish` returns after every message is acknowledged by all in-sync replicas. What is
  acknowledged survives a kill -9 of the broker.
- When it raises `Unavailable`, any part of the call's messages may have landed or may still land.
  Publish them again: a message may then be there twice (consumers count a message id once), none
  is lost. A retried request is no reason for a double: the producer is idempotent.
- Messages of one key are in the order in which one task published them. If a call failed and was
  repeated until acknowledged, the first appearance of each message is in that order; a late copy
  may follow.

aiokafka's producer can get stuck or die for good (aio-libs/aiokafka#1017, #1018). A flush that
fails or is too old, or a dead sender task, therefore fails the calls that wait, ends that producer
and makes another one in the background. The old one is ended before the new one starts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable, Sequence
from types import TracebackType
from typing import Any, Final, Self

import structlog
from aiokafka import AIOKafkaProducer

from clm_common.bus.columns import topics_of
from clm_common.bus.kafka.flush import Flush, Outcome
from clm_common.bus.kafka.lifecycle import FOREIGN, discard, sender_of, start, translate
from clm_common.bus.kafka.records import Compression
from clm_common.bus.kafka.settings import KafkaSettings
from clm_common.bus.ports import Message
from clm_common.bus.size import BATCH_BYTES, measure
from clm_common.errors import ClmError, Unavailable

log: Any = structlog.get_logger()  # Any: structlog's bound loggers are typed by configuration

_PER_MESSAGE: Final = 256  # bytes that key and headers are counted as
_FIRST_TRY: Final = 2.0
_LEARN_WITHIN: Final = 3.0
_PING_WITHIN: Final = 3.0
_STALLED_AFTER: Final = 2.0
_FEW_BYTES: Final = 64 * 1024
_BACKOFF: Final = (0.1, 0.2, 0.5, 1.0)


class GroupProducer:
    """The `Producer` port on Kafka; use it as `async with GroupProducer(settings) as producer`.

    Entering waits briefly for a broker; one that is away is no error, `publish` and `ping` then
    raise `Unavailable` until it is there.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        *,
        pending_bytes: int = 64 * 1024 * 1024,
        patience: float = 10.0,
        compression: Compression | None = "snappy",
        linger: float = 0.0,
    ) -> None:
        """Connects nowhere yet.

        Args:
            settings: how to reach the brokers.
            pending_bytes: how much may be unacknowledged before calls are refused.
            patience: seconds a flush may take, retries within aiokafka included.
            compression: the codec of the batches.
            linger: seconds that a small flush waits for more calls, if there were calls while the
                one before was on its way: those who are answered then are about to call again.

        Raises:
            SettingsError: the file of authorities cannot be read.
        """
        self._connection = settings.connection()
        self._limit = pending_bytes
        self._patience = patience
        self._compression: Compression | None = compression
        self._linger = linger
        self._producer: AIOKafkaProducer | None = None
        self._partitions: dict[str, int] = {}
        self._open: Flush | None = None
        self._flying: Flush | None = None
        self._pending = 0
        self._wanted = asyncio.Event()
        self._connected = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._why = "not connected yet"

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="bus.producer")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_TRY):
                await self._connected.wait()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Deliver what waits, as far as a broker answers in time, and end."""
        waiting = [flush.done for flush in (self._flying, self._open) if flush and flush.size]
        if waiting:
            await asyncio.wait(waiting, timeout=self._patience)
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def publish(self, messages: Sequence[Message]) -> Coroutine[Any, Any, None]:  # Any: as the port
        """Publish messages; see `Producer.publish` and the promises of this module.

        They are packed before this returns, so the caller may let go of them while it waits.

        Raises:
            Unavailable: not acknowledged (`bus.away`), or too much is in flight (`bus.full`), in
                which case nothing was sent.
            InvalidMessage: a message alone is too large; nothing was sent. (Where headers of more
                than 32 KiB are to blame, others may have been.)
        """
        unknown = topics_of(messages) - self._partitions.keys()
        if unknown:
            return self._publish_to(unknown, messages)
        return self._acknowledged(self._pack(messages))

    async def _publish_to(self, unknown: Iterable[str], messages: Sequence[Message]) -> None:
        for topic in unknown:
            await self._learn(topic)
        await self._acknowledged(self._pack(messages))

    def _pack(self, messages: Sequence[Message]) -> Outcome | ClmError | None:
        """Pack messages and give what to wait for, or why they cannot leave."""
        if not messages:
            return None
        try:
            flush = self._admit(measure(messages) + _PER_MESSAGE * len(messages))
            self._wanted.set()
            flush.batches.add(messages, self._partitions)
        except ClmError as error:
            return error
        return flush.call()

    async def _acknowledged(self, outcome: Outcome | ClmError | None) -> None:
        error = await outcome if isinstance(outcome, asyncio.Future) else outcome
        if isinstance(error, Unavailable):
            raise Unavailable(error.slug, error.message, **error.values)
        if error is not None:
            raise error

    async def ping(self) -> None:
        """Return if a broker answers and nothing is stuck; raises `Unavailable` otherwise."""
        producer = self._live()
        flying = self._flying
        if flying and asyncio.get_running_loop().time() - flying.since > _STALLED_AFTER:
            raise Unavailable("bus.stalled", "Kafka has not acknowledged for a while")
        answered = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PING_WITHIN):
                answered = await producer.client.force_metadata_update()
        if not answered:
            raise Unavailable("bus.away", "Kafka does not answer")

    def _live(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise Unavailable("bus.away", f"Kafka is away: {self._why}", reason=self._why)
        return self._producer

    def _admit(self, size: int) -> Flush:
        self._live()
        if self._pending and self._pending + size > self._limit:
            raise Unavailable(
                "bus.full",
                f"{self._pending} bytes wait for Kafka's acknowledgement; at most {self._limit}",
                pending=self._pending,
                limit=self._limit,
            )
        if self._open is None:
            self._open = Flush(self._compression)
        self._open.size += size
        self._pending += size
        return self._open

    async def _learn(self, topic: str) -> None:
        """Ask how many partitions a topic has; the first answer counts while the process lives.

        A count that changed under a living producer would break the order per key.
        """
        producer = self._live()
        try:
            async with asyncio.timeout(_LEARN_WITHIN):
                found = await producer.partitions_for(topic)
        except FOREIGN as error:
            raise translate(error, f"asking for the partitions of {topic}") from error
        self._partitions.setdefault(topic, len(found))

    async def _run(self) -> None:
        while True:
            producer = await self._connect()
            try:
                self._producer = producer
                self._connected.set()
                error = await self._serve(producer)
                log.warning("bus.producer_failed", reason=error.message)
                self._why = error.message
                self._fail(error)
            finally:
                self._producer = None
                self._fail(Unavailable("bus.closed", "the producer was closed"))
                await discard(producer)

    async def _connect(self) -> AIOKafkaProducer:
        tries = 0
        while True:
            producer = self._make()
            try:
                await start(producer, within=self._patience)
            except Exception as error:  # noqa: BLE001 - whatever it was, it is tried again
                self._why = str(error) or type(error).__name__
                if tries == 0:
                    log.warning("bus.away", reason=self._why)
                await asyncio.sleep(_BACKOFF[min(tries, len(_BACKOFF) - 1)])
                tries += 1
            else:
                log.info("bus.connected", tries=tries)
                return producer

    def _make(self) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._connection,
            acks="all",
            enable_idempotence=True,
            compression_type=self._compression,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=int(self._patience * 500),
            retry_backoff_ms=100,
        )

    async def _serve(self, producer: AIOKafkaProducer) -> Unavailable:
        """Flush until something fails; gives what it was."""
        sender = sender_of(producer)
        flushing = asyncio.create_task(self._flush_on_demand(producer), name="bus.flush")
        try:
            watched: set[asyncio.Future[Any]] = {flushing, sender}  # Any: only their end matters
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if flushing.done():
                return flushing.result()
            return Unavailable("bus.away", "aiokafka's sender task has ended")
        finally:
            flushing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await flushing

    async def _flush_on_demand(self, producer: AIOKafkaProducer) -> Unavailable:
        loop = asyncio.get_running_loop()
        while True:
            busy = self._wanted.is_set()
            await self._wanted.wait()
            if busy and self._open is not None and self._open.size < _FEW_BYTES:
                await asyncio.sleep(self._linger)
            self._wanted.clear()
            flush, self._open = self._open, None
            if flush is None:
                continue
            self._flying, flush.since = flush, loop.time()
            try:
                async with asyncio.timeout(self._patience):
                    await flush.batches.send(producer)
            except Exception as error:  # noqa: BLE001 - whatever it was, the calls must be told
                return _unavailable(error)
            self._flying = None
            self._settle(flush, None)

    def _settle(self, flush: Flush, error: Unavailable | None) -> None:
        self._pending -= flush.size
        flush.settle(error)

    def _fail(self, error: Unavailable) -> None:
        for flush in (self._flying, self._open):
            if flush is not None:
                self._settle(flush, error)
        self._flying = self._open = None


def _unavailable(error: BaseException) -> Unavailable:
    found = translate(error, "publishing")
    return Unavailable("bus.away", found.message, **found.values)
