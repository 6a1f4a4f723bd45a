"""What every bus does; the memory adapter and real Kafka pass the same tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from clm_common.bus.ports import Message, Publisher, Shared
from clm_common.bus.size import MESSAGE_BYTES
from clm_common.contracts.topics import partition_of
from clm_common.errors import InvalidMessage, OwnershipLost, Unavailable
from tests.support.buses import (
    PARTITIONS,
    Bus,
    KafkaBus,
    MemoryBus,
    drain,
    everywhere,
    messages,
    texts,
)

HOME = partition_of(b"customer", PARTITIONS)


@pytest.fixture(params=["memory", "kafka"])
def bootstrap(request: pytest.FixtureRequest) -> str | None:
    """Give the broker's address, None for the bus in memory; a broker is started if need be."""
    if request.param == "memory":
        return None
    address: str = request.getfixturevalue("kafka_bootstrap")
    return address


@pytest.fixture
async def bus(bootstrap: str | None) -> AsyncGenerator[Bus]:
    if bootstrap is None:
        yield MemoryBus()
        return
    kafka = KafkaBus(bootstrap)
    await kafka.open()
    yield kafka
    await kafka.close()


async def test_what_is_published_is_read_in_the_order_of_its_key(bus: Bus) -> None:
    async with bus.producer() as producer, bus.reader() as reader:
        reader.assign(everywhere(bus.topic))

        await producer.publish(messages(bus.topic, "1", "2", "3"))
        await producer.publish(messages(bus.topic, "4"))

        assert texts(await drain(reader, 4)) == ["1", "2", "3", "4"]


async def test_key_value_headers_and_place_survive_the_way(bus: Bus) -> None:
    headers = (("ce_id", b"m-1"), ("ce_type", "größer".encode()))
    async with bus.producer() as producer, bus.reader() as reader:
        reader.assign(everywhere(bus.topic))

        await producer.publish([Message(bus.topic, b"customer", b'{"a":1}', headers)])

        (record,) = await drain(reader, 1)
        assert (record.topic, record.partition, record.offset) == (bus.topic, HOME, 0)
        assert (record.key, record.value) == (b"customer", b'{"a":1}')
        assert tuple(record.headers) == headers


async def test_headers_that_messages_share_are_read_before_their_own(bus: Bus) -> None:
    shared = Shared((("ce_specversion", b"1.0"), ("ce_source", b"shop"), ("ce_time", b"now")))
    sent = [
        Message(bus.topic, b"customer", b"1", (("ce_id", b"m-1"),), shared),
        Message(bus.topic, b"customer", b"2", (("ce_id", b"m-2"),)),
        Message(bus.topic, b"customer", b"3", (), shared),
    ]
    async with bus.producer() as producer, bus.reader() as reader:
        reader.assign(everywhere(bus.topic))

        await producer.publish(sent)

        records = await drain(reader, 3)
        assert [list(record.headers) for record in records] == [it.all_headers() for it in sent]


async def test_the_partition_is_the_crc32_of_the_key(bus: Bus) -> None:
    keys = [f"key-{n}".encode() for n in range(50)]
    async with bus.producer() as producer, bus.reader() as reader:
        reader.assign(everywhere(bus.topic))

        await producer.publish([Message(bus.topic, key, b"x") for key in keys])

        found = {record.key: record.partition for record in await drain(reader, 50)}
        assert found == {key: partition_of(key, PARTITIONS) for key in keys}


async def test_a_message_alone_has_the_same_partition_as_among_others(bus: Bus) -> None:
    keys = [f"key-{n}".encode() for n in range(10)]
    async with bus.producer() as producer, bus.reader() as reader:
        reader.assign(everywhere(bus.topic))

        await asyncio.gather(*(producer.publish([Message(bus.topic, key, b"x")]) for key in keys))

        found = {record.key: record.partition for record in await drain(reader, 10)}
        assert found == {key: partition_of(key, PARTITIONS) for key in keys}


async def test_publishing_nothing_is_no_work(bus: Bus) -> None:
    async with bus.producer() as producer:
        await producer.publish([])

        await producer.ping()


async def test_an_oversize_message_is_refused_and_nothing_is_sent(bus: Bus) -> None:
    large = Message(bus.topic, b"customer", b"x" * (MESSAGE_BYTES + 1))
    async with bus.producer() as producer, bus.reader() as reader:
        with pytest.raises(InvalidMessage, match="at most"):
            await producer.publish([*messages(bus.topic, "before"), large])

        assert set((await reader.end_offsets(bus.topic)).values()) == {0}


async def test_the_largest_message_fits(bus: Bus) -> None:
    largest = Message(bus.topic, b"customer", b"x" * (MESSAGE_BYTES - 100))
    async with bus.producer() as producer, bus.reader() as reader:
        reader.assign(everywhere(bus.topic))

        await producer.publish([largest, *messages(bus.topic, "after")])

        first, second = await drain(reader, 2)
        assert (first.value, second.value) == (largest.value, b"after")


async def test_an_unknown_topic_is_unavailable(bus: Bus) -> None:
    async with bus.producer() as producer, bus.reader() as reader:
        with pytest.raises(Unavailable):
            await producer.publish(messages("test-nowhere", "1"))
        with pytest.raises(Unavailable):
            await reader.end_offsets("test-nowhere")


async def test_a_read_gives_no_more_than_its_limit(bus: Bus) -> None:
    async with bus.producer() as producer, bus.reader() as reader:
        await producer.publish(messages(bus.topic, *"abcdefghij"))
        reader.assign(everywhere(bus.topic))

        sizes: list[int] = []
        while sum(sizes) < 10:
            found = await reader.read(limit=3, wait=5.0)
            sizes.append(sum(len(records) for records in found.values()))

        assert sizes == [3, 3, 3, 1]


async def test_a_waiting_read_wakes_up_when_something_comes(bus: Bus) -> None:
    async with bus.producer() as producer, bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        reading = asyncio.create_task(reader.read(limit=10, wait=20.0))
        await asyncio.sleep(0.2)

        await producer.publish(messages(bus.topic, "news"))

        async with asyncio.timeout(10):
            found = await reading
        assert texts(found[bus.topic, HOME]) == ["news"]


async def test_a_partition_that_is_left_alone_keeps_its_records_for_later(bus: Bus) -> None:
    home = (bus.topic, HOME)
    async with bus.producer() as producer, bus.reader() as reader:
        await producer.publish(messages(bus.topic, "1", "2"))
        reader.assign(everywhere(bus.topic))
        await reader.read(limit=1, wait=10.0)

        assert await reader.read(limit=10, wait=0.5, but=[home]) == {}
        assert await reader.read(limit=10, wait=0.05, but=[*everywhere(bus.topic)]) == {}

        assert texts(await drain(reader, 1)) == ["2"]


async def test_a_reader_without_partitions_gives_nothing(bus: Bus) -> None:
    async with bus.reader() as reader:
        assert await reader.read(limit=10, wait=0.05) == {}

        reader.assign({(bus.topic, 0): 0})
        reader.assign({})

        assert await reader.read(limit=10, wait=0.05) == {}


async def test_giving_everything_up_while_a_read_waits_ends_it_with_nothing(bus: Bus) -> None:
    async with bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        await reader.read(limit=10, wait=0.1)
        reading = asyncio.create_task(reader.read(limit=10, wait=1.0))
        await asyncio.sleep(0.2)

        reader.assign({})

        assert await reading == {}
        assert await reader.read(limit=10, wait=0.1) == {}


async def test_a_partition_that_stays_keeps_its_position(bus: Bus) -> None:
    other = (HOME + 1) % PARTITIONS
    async with bus.producer() as producer, bus.reader() as reader:
        await producer.publish(messages(bus.topic, "1", "2", "3"))
        reader.assign({(bus.topic, HOME): 0})
        first = await reader.read(limit=2, wait=10.0)

        reader.assign({(bus.topic, HOME): 0, (bus.topic, other): 0})

        assert texts(first[bus.topic, HOME]) == ["1", "2"]
        assert texts(await drain(reader, 1)) == ["3"]


async def test_a_partition_taken_again_starts_where_it_is_told(bus: Bus) -> None:
    async with bus.producer() as producer, bus.reader() as reader:
        await producer.publish(messages(bus.topic, "1", "2", "3", "4"))
        reader.assign({(bus.topic, HOME): 0})
        await reader.read(limit=1, wait=10.0)

        reader.assign({})
        reader.assign({(bus.topic, HOME): 3})

        assert texts(await drain(reader, 1)) == ["4"]


async def test_seeking_drops_what_was_fetched_before(bus: Bus) -> None:
    async with bus.producer() as producer, bus.reader() as reader:
        await producer.publish(messages(bus.topic, "1", "2", "3", "4"))
        reader.assign({(bus.topic, HOME): 0})
        await reader.read(limit=1, wait=10.0)

        reader.seek(bus.topic, HOME, 2)

        assert texts(await drain(reader, 2)) == ["3", "4"]


async def test_seeking_a_partition_that_is_not_assigned_is_a_mistake(bus: Bus) -> None:
    async with bus.reader() as reader:
        with pytest.raises(KeyError):
            reader.seek(bus.topic, 0, 0)


@pytest.mark.parametrize("start", [0, 99], ids=["expired", "beyond the end"])
async def test_an_offset_the_topic_does_not_hold_starts_at_the_oldest(bus: Bus, start: int) -> None:
    async with bus.producer() as producer, bus.reader() as reader:
        await producer.publish(messages(bus.topic, "1", "2", "3", "4"))
        await bus.expire(HOME, before=2)

        reader.assign({(bus.topic, HOME): start})

        assert texts(await drain(reader, 2)) == ["3", "4"]


async def test_the_end_is_the_offset_of_the_next_record(bus: Bus) -> None:
    async with bus.producer() as producer, bus.reader() as reader:
        await producer.publish(messages(bus.topic, "1", "2", "3"))

        ends = await reader.end_offsets(bus.topic)

        assert ends == {partition: 3 * (partition == HOME) for partition in range(PARTITIONS)}


async def test_reading_may_begin_at_a_time(bus: Bus) -> None:
    async with bus.producer() as producer, bus.reader() as reader:
        await producer.publish(messages(bus.topic, "1", "2", "3"))
        reader.assign({(bus.topic, HOME): 0})
        stamps = [it.timestamp for it in await drain(reader, 3)]

        first = await reader.offsets_at(bus.topic, stamps[0])
        last = await reader.offsets_at(bus.topic, stamps[-1])
        later = await reader.offsets_at(bus.topic, stamps[-1] + 1)

    assert first[HOME] == 0
    assert last[HOME] == stamps.index(stamps[-1])
    assert later[HOME] == 3
    assert {first[it] for it in range(PARTITIONS) if it != HOME} == {0}


async def test_a_first_publisher_begins_at_zero(bus: Bus) -> None:
    publisher = bus.publisher(2)

    assert await publisher.open() == 0
    await publisher.close()


async def test_facts_and_position_are_published_together(bus: Bus) -> None:
    publisher = bus.publisher(2)
    await publisher.open()

    await publisher.publish([messages(bus.topic, "1", "2")], seq=2)
    await publisher.publish([messages(bus.topic, "3")], seq=3)

    async with bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        assert texts(await drain(reader, 3)) == ["1", "2", "3"]
        reader.assign({(bus.positions, 2): 0})
        assert texts(await drain(reader, 2)) == ['{"seq":2}', '{"seq":3}']
    await publisher.close()


async def test_the_next_publisher_learns_how_far_the_last_one_came(bus: Bus) -> None:
    first, second, neighbour = bus.publisher(1), bus.publisher(1), bus.publisher(0)
    await first.open()
    await first.publish([messages(bus.topic, "1", "2")], seq=2)
    await first.publish([], seq=7)
    await first.close()

    assert await second.open() == 7
    assert await neighbour.open() == 0
    await second.close()
    await neighbour.close()


async def test_a_new_publisher_fences_the_old_one(bus: Bus) -> None:
    old, new = bus.publisher(0), bus.publisher(0)
    await old.open()
    await old.publish([messages(bus.topic, "1")], seq=1)
    assert await new.open() == 1

    with pytest.raises(OwnershipLost):
        await old.publish([messages(bus.topic, "stale")], seq=2)
    await new.publish([messages(bus.topic, "2")], seq=2)

    async with bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        assert texts(await drain(reader, 2)) == ["1", "2"]
    await old.close()
    await new.close()


async def test_a_publisher_is_spent_after_an_error(bus: Bus) -> None:
    old, new = bus.publisher(0), bus.publisher(0)
    await old.open()
    await new.open()
    with pytest.raises(OwnershipLost):
        await old.publish([], seq=1)

    with pytest.raises(Unavailable, match="open a new one"):
        await old.publish([], seq=1)

    await old.close()
    await new.close()


async def test_an_oversize_fact_leaves_the_publisher_usable(bus: Bus) -> None:
    publisher = bus.publisher(0)
    await publisher.open()

    with pytest.raises(InvalidMessage):
        await publisher.publish([[Message(bus.topic, b"k", b"x" * MESSAGE_BYTES)]], seq=1)
    await publisher.publish([], seq=1)

    await publisher.close()


async def test_publishers_of_all_partitions_work_side_by_side(bus: Bus) -> None:
    publishers: list[Publisher] = [bus.publisher(partition) for partition in range(PARTITIONS)]
    await asyncio.gather(*(publisher.open() for publisher in publishers))

    for round_ in range(1, 4):
        await asyncio.gather(
            *(
                publisher.publish([messages(bus.topic, str(round_), key=f"p{at}")], seq=round_)
                for at, publisher in enumerate(publishers)
            )
        )

    async with bus.reader() as reader:
        reader.assign(everywhere(bus.topic))
        found = await drain(reader, 3 * PARTITIONS)
    by_key = {key: texts([it for it in found if it.key == key]) for key in {it.key for it in found}}
    assert by_key == {f"p{at}".encode(): ["1", "2", "3"] for at in range(PARTITIONS)}
    await asyncio.gather(*(publisher.close() for publisher in publishers))
