"""A producer that is given up leaves no failure behind at which nobody has looked."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from clm_common.bus.kafka.batches import Batches
from clm_common.bus.kafka.lifecycle import discard
from clm_common.bus.ports import Message

PLACE = TopicPartition("t", 0)


def producer(transactional_id: str | None = None) -> Any:  # Any: aiokafka is untyped
    """Give a producer that knows a topic, and sends nothing as nobody started it."""
    made: Any = AIOKafkaProducer(bootstrap_servers="127.0.0.1:1", transactional_id=transactional_id)

    def partitions_of(_topic: str) -> set[int]:
        return {0}

    async def known(_topic: str) -> set[int]:
        return {0}

    made.client._wait_on_metadata = known
    made._metadata.partitions_for_topic = partitions_of
    return made


async def give_up(made: Any) -> None:  # Any: as above
    """Have a producer send something, and the caller lose patience."""
    batches = Batches(compression=None, transactional=made._txn_manager is not None)
    batches.put([Message("t", b"k", b"v")], "t", 0)
    sending = asyncio.create_task(batches.send(made))
    await asyncio.wait({sending}, timeout=0.05)
    assert made._message_accumulator._batches
    sending.cancel()
    await asyncio.wait({sending})


@pytest.fixture
async def complaints() -> list[str]:
    """Give what asyncio complains of from now on."""
    found: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, it: found.append(it["message"]))
    return found


async def collected() -> None:
    """Let callbacks run, and let go of whatever nobody holds."""
    for _ in range(3):
        await asyncio.sleep(0)
        gc.collect()


async def test_a_batch_that_nobody_waits_for_any_more_fails_silently(complaints: list[str]) -> None:
    made = producer()
    await give_up(made)

    await discard(made)

    del made
    await collected()
    assert complaints == []


async def test_a_batch_that_was_tried_before_fails_silently(complaints: list[str]) -> None:
    made = producer()
    await give_up(made)
    accumulator = made._message_accumulator
    accumulator.reenqueue(accumulator._pop_batch(PLACE))

    await discard(made)

    del made, accumulator
    await collected()
    assert complaints == []


async def test_a_batch_that_is_on_its_way_fails_silently(complaints: list[str]) -> None:
    made = producer()
    await give_up(made)
    made._message_accumulator._pop_batch(PLACE)

    await discard(made)

    del made
    await collected()
    assert complaints == []


async def test_a_transaction_whose_producer_dies_while_it_is_aborted_fails_silently(
    complaints: list[str],
) -> None:
    made = producer(transactional_id="engine-0")
    manager = made._txn_manager
    manager.set_pid_and_epoch(1, 0)
    await made.begin_transaction()
    manager.error_transaction(OSError("away"))
    with pytest.raises(OSError, match="away"):
        await manager.wait_for_transaction_end()
    manager.aborting_transaction()
    manager.fatal_error(OSError("gone"))

    await discard(made)

    del made, manager
    await collected()
    assert complaints == []
