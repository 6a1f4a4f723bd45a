"""How clients of aiokafka are started and ended in bounded time, and how their errors are named."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from itertools import chain
from typing import Any, Final, cast

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import (
    InvalidProducerEpoch,
    KafkaError,
    ProducerClosed,
    ProducerFenced,
)

from clm_common.errors import ClmError, OwnershipLost, Unavailable

log: Any = structlog.get_logger()  # Any: structlog's bound loggers are typed by configuration

# What aiokafka raises when a broker is away or refuses. AssertionError and AttributeError too: its
# state machine asserts transitions that a broker's answer can make impossible. And RuntimeError:
# uvloop's, when aiokafka writes to a connection that has just been lost.
FOREIGN: Final = (
    KafkaError, OSError, TimeoutError, AssertionError, AttributeError, RuntimeError
)  # fmt: skip

_CLOSE_WITHIN: Final = 10.0
_CANCEL_WITHIN: Final = 1.0


def translate(error: BaseException, doing: str) -> ClmError:
    """Name the fate of a foreign error: `OwnershipLost` if fenced, else `Unavailable`."""
    if isinstance(error, ProducerFenced | InvalidProducerEpoch):
        return OwnershipLost("bus.fenced", f"{doing}: another producer has taken over")
    reason = str(error) or type(error).__name__
    return Unavailable("bus.away", f"{doing}: {reason}", reason=reason)


async def start(client: Any, *, within: float) -> None:  # Any: aiokafka is untyped
    """Start a producer or consumer, or raise what it died of; a failed one is closed.

    Raises:
        KafkaError | OSError | TimeoutError: no broker answered in time.
    """
    try:
        async with asyncio.timeout(within):
            await client.start()
    except BaseException:
        await close(client)
        raise


async def close(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    """End a producer or consumer that owes nothing; never raises and never hangs.

    aiokafka's `stop` may be cancelled by a task of its own, hence the tasks here: awaited directly
    that would look like the cancellation of the caller.
    """
    await _end(client.stop())
    connections = client.client if isinstance(client, AIOKafkaProducer) else client._client  # noqa: SLF001 - a failed stop leaves them open
    await _end(connections.close())


async def discard(producer: AIOKafkaProducer) -> None:
    """End a producer now: what it has not sent yet is failed and will never be sent.

    `AIOKafkaProducer.stop` alone waits until everything is delivered, for ever if need be.
    What was handed to a connection already may still land.
    """
    _retrieve_all(producer)
    accumulator: Any = producer._message_accumulator  # noqa: SLF001 - no public way to give up; Any: untyped
    tried = [it for it in chain(*accumulator._batches.values()) if it.retry_count]  # noqa: SLF001 - as above
    accumulator._pending_batches.update(tried)  # noqa: SLF001 - where their callback removes them from
    accumulator.fail_all(ProducerClosed())
    await close(producer)
    _retrieve_all(producer)  # its last tries have made others


async def _end(ending: Coroutine[object, object, object]) -> None:
    task = asyncio.ensure_future(ending)
    await asyncio.wait({task}, timeout=_CLOSE_WITHIN)
    if not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_WITHIN)
    if task.done() and not task.cancelled() and (error := task.exception()):
        log.debug("bus.close_failed", reason=repr(error))


def sender_of(producer: AIOKafkaProducer) -> asyncio.Future[None]:
    """Give the background task of a started producer; once it has ended nothing is sent again."""
    task: Any = producer._sender.sender_task  # noqa: SLF001 - no public way; Any: it is untyped
    return cast("asyncio.Future[None]", task)


def retrieve_queued(producer: AIOKafkaProducer, topic: str, partition: int) -> None:
    """Look at what becomes of the batches that wait to be sent to a partition.

    aiokafka fails futures of a batch at which nobody looks: that of its leaving, and that of its
    acknowledgement once whoever waited was cancelled. asyncio would log them.
    """
    queued = producer._message_accumulator._batches.get((topic, partition), ())  # noqa: SLF001 - no public way
    _retrieve_batches(queued)


def retrieve_transaction(producer: AIOKafkaProducer) -> None:
    """Look at the end of the newest transaction, if there is one; it may be failed unseen, too."""
    manager: Any = producer._txn_manager  # noqa: SLF001 - no public way; Any: it is untyped
    if manager is not None and (waiter := manager.wait_for_transaction_end()) is not None:
        waiter.add_done_callback(retrieve)


def _retrieve_all(producer: AIOKafkaProducer) -> None:
    retrieve_transaction(producer)
    accumulator: Any = producer._message_accumulator  # noqa: SLF001 - no public way; Any: it is untyped
    _retrieve_batches(chain(accumulator._pending_batches, *accumulator._batches.values()))  # noqa: SLF001 - as above


def _retrieve_batches(batches: Iterable[Any]) -> None:  # Any: aiokafka is untyped
    for batch in batches:
        for future in (batch.future, batch._drain_waiter):  # noqa: SLF001 - there is no public way
            future.add_done_callback(retrieve)


def retrieve(future: asyncio.Future[object]) -> None:
    """Look at an outcome, so that asyncio does not complain where nobody else does."""
    if not future.cancelled():
        future.exception()
