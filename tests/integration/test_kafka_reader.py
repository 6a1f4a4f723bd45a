"""The reader on real Kafka that is killed, frozen or away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

import pytest

from clm_common.bus.kafka import KafkaSettings, PartitionReader
from clm_common.bus.kafka import reader as kafka_reader
from clm_common.bus.ports import Reader, Record
from clm_common.errors import Unavailable
from tests.support.buses import KafkaBus, drain, everywhere, messages, texts
from tests.support.servers import KafkaNode


def all_texts(found: Mapping[tuple[str, int], Sequence[Record]]) -> list[str]:
    """Give the values of what a read gave as text."""
    return [text for records in found.values() for text in texts(records)]


async def read_through(reader: Reader, count: int) -> list[str]:
    """Read as a worker does: wait and try again while no broker answers."""
    found: list[str] = []
    while len(found) < count:
        try:
            batch = await reader.read(limit=50, wait=0.5)
        except Unavailable:
            await asyncio.sleep(0.1)
        else:
            found.extend(all_texts(batch))
    return found


async def read_for_ever(reader: Reader) -> None:
    async with asyncio.timeout(20):
        while True:
            await reader.read(limit=50, wait=0.5)


@pytest.mark.parametrize("outage", [0.0, 7.0], ids=["restarted at once", "away for long"])
async def test_a_reader_goes_on_where_it_was_after_the_broker_was_killed(
    kafka_node: Callable[[], KafkaNode], outage: float
) -> None:
    node = kafka_node()
    await node.start()
    bus = KafkaBus(node.bootstrap)
    await bus.open()
    async with bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        async with bus.producer() as producer:
            await producer.publish(messages(bus.topic, *(str(number) for number in range(100))))
        before = await read_through(reader, 50)
        node.kill()
        reading = asyncio.create_task(read_through(reader, 100))
        await asyncio.sleep(outage)

        await node.start()
        async with bus.producer() as producer:
            await producer.publish(
                messages(bus.topic, *(str(number) for number in range(100, 150)))
            )
        async with asyncio.timeout(30):
            after = await reading

    assert before + after == [str(number) for number in range(150)]


async def test_a_frozen_broker_is_noticed(kafka_node: Callable[[], KafkaNode]) -> None:
    node = kafka_node()
    await node.start()
    bus = KafkaBus(node.bootstrap)
    await bus.open()
    async with PartitionReader(bus.settings, silence=1.5) as reader:
        reader.assign(everywhere(bus.topic))
        assert await reader.read(limit=10, wait=0.5) == {}
        node.freeze()

        with pytest.raises(Unavailable):
            await read_for_ever(reader)
        node.thaw()
        async with bus.producer() as producer:
            await producer.publish(messages(bus.topic, "after"))

        assert await read_through(reader, 1) == ["after"]


async def test_a_reader_says_so_when_no_broker_answers() -> None:
    async with PartitionReader(KafkaSettings(bootstrap="127.0.0.1:1")) as reader:
        reader.assign({("test", 0): 0})

        with pytest.raises(Unavailable):
            await reader.read(limit=1, wait=0.1)
        with pytest.raises(Unavailable):
            await reader.end_offsets("test")
        with pytest.raises(Unavailable):
            await reader.ping()


async def test_a_slow_worker_is_no_reason_to_think_the_broker_away(kafka_bootstrap: str) -> None:
    bus = KafkaBus(kafka_bootstrap)
    await bus.open()
    async with PartitionReader(bus.settings, silence=0.6) as reader:
        reader.assign(everywhere(bus.topic))
        await reader.read(limit=10, wait=0.3)
        await asyncio.sleep(2.0)

        assert await reader.read(limit=10, wait=0.3) == {}
    await bus.close()


async def test_reassigning_while_a_read_waits_gives_nothing_stale(kafka_bootstrap: str) -> None:
    bus = KafkaBus(kafka_bootstrap)
    await bus.open()
    async with bus.producer() as producer, bus.reader() as reader:
        await producer.publish(
            [it for key in "abcdefgh" for it in messages(bus.topic, *"123", key=key)]
        )
        places = everywhere(bus.topic)
        reader.assign(places)
        await reader.read(limit=2, wait=5.0)  # the rest is fetched and waits

        reader.assign({})
        reader.assign(places)

        assert len(await drain(reader, 24)) == 24
    await bus.close()


@pytest.fixture
async def behind(
    kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[tuple[KafkaBus, PartitionReader]]:
    """A reader that has read 1, and fetched 2 ahead before 3 came."""
    monkeypatch.setattr(kafka_reader, "_PATIENCE", 5.0)
    bus = KafkaBus(kafka_bootstrap)
    await bus.open()
    async with bus.producer() as producer, PartitionReader(bus.settings) as reader:
        reader.assign(everywhere(bus.topic))
        for text in "123":
            await producer.publish(messages(bus.topic, text))
            if text == "1":
                assert texts(await drain(reader, 1)) == ["1"]
            await asyncio.sleep(0.6)
        yield bus, reader
    await bus.close()


async def test_a_read_gives_what_came_after_it_was_fetched_ahead(
    behind: tuple[KafkaBus, PartitionReader],
) -> None:
    _, reader = behind

    found = await reader.read(limit=10, wait=5.0)

    assert all_texts(found) == ["2", "3"]


async def test_a_read_that_has_something_does_not_wait_for_a_limit_it_has_reached(
    behind: tuple[KafkaBus, PartitionReader],
) -> None:
    _, reader = behind

    first = await reader.read(limit=1, wait=5.0)

    assert all_texts(first) == ["2"]
    assert texts(await drain(reader, 1)) == ["3"]


async def test_a_read_that_is_cancelled_while_it_waits_for_more_takes_nothing_along(
    behind: tuple[KafkaBus, PartitionReader],
) -> None:
    _, reader = behind
    reading = asyncio.create_task(reader.read(limit=10, wait=5.0))
    await asyncio.sleep(0)

    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)

    assert reading.cancelled()
    assert texts(await drain(reader, 2)) == ["2", "3"]


async def test_a_partition_that_is_sought_while_a_read_waits_for_more_is_read_from_there(
    behind: tuple[KafkaBus, PartitionReader],
) -> None:
    bus, reader = behind
    reading = asyncio.create_task(reader.read(limit=10, wait=5.0))
    await asyncio.sleep(0)

    for (topic, partition), oldest in everywhere(bus.topic).items():
        reader.seek(topic, partition, oldest)
    found = all_texts(await reading)

    assert [*found, *texts(await drain(reader, 3 - len(found)))] == ["1", "2", "3"]


async def test_a_connection_that_closed_while_it_is_written_to_is_a_broker_away(
    kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object, **__: object) -> object:
        raise RuntimeError("unable to perform operation on <TCPTransport closed=True>")  # uvloop's

    bus = KafkaBus(kafka_bootstrap)
    await bus.open()
    async with bus.reader() as reader:
        known = await reader.end_offsets(bus.topic)
        with monkeypatch.context() as patch:
            for each in reader._consumer._client._conns.values():  # type: ignore[union-attr]
                patch.setattr(each, "send", closed)
            with pytest.raises(Unavailable):
                await reader.end_offsets(bus.topic)
        assert await reader.end_offsets(bus.topic) == known
    await bus.close()
