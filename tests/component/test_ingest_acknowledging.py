"""Answers come after Kafka's acknowledgement, and senders wait where too much is under way."""

import asyncio
from collections.abc import Sequence

from clm_common.bus.memory import MemoryBroker, MemoryProducer
from clm_common.bus.ports import Message
from clm_ingest.handlers import Bounds
from tests.support.ingest_world import EVENT, IngestWorld, assert_error


async def test_while_kafka_is_away_nothing_is_acknowledged(world: IngestWorld) -> None:
    world.broker.away = True

    good = await world.post("/v1/track", EVENT)
    bad = await world.post("/v1/track", {"event": "no ids"})

    for answer in (good, bad):
        assert answer.status_code == 503
        assert 1 <= int(answer.headers["retry-after"]) <= 300
    world.broker.away = False
    assert (await world.post("/v1/track", EVENT)).status_code == 200
    assert len(world.landed()) == 1


class Gate(MemoryProducer):
    """A producer whose acknowledgement is held back."""

    def __init__(self, broker: MemoryBroker) -> None:
        super().__init__(broker)
        self.open = asyncio.Event()
        self.arrived = asyncio.Semaphore(0)

    async def publish(self, messages: Sequence[Message]) -> None:
        self.arrived.release()
        await self.open.wait()
        await super().publish(messages)


def gated(bounds: Bounds) -> tuple[IngestWorld, Gate]:
    gates: list[Gate] = []

    def gate(broker: MemoryBroker) -> Gate:
        gates.append(Gate(broker))
        return gates[0]

    world = IngestWorld(bounds, producer=gate)
    return world, gates[0]


async def test_200_is_answered_after_the_acknowledgement_and_not_before() -> None:
    world, gate = gated(Bounds())
    await world.keyring.refresh()

    request = asyncio.create_task(world.post("/v1/track", EVENT))
    await gate.arrived.acquire()
    await asyncio.sleep(0.05)

    assert not request.done()
    gate.open.set()
    assert (await request).status_code == 200


async def test_beyond_so_many_requests_at_once_senders_are_asked_to_wait() -> None:
    world, gate = gated(Bounds(requests=3))
    await world.keyring.refresh()
    held = [asyncio.create_task(world.post("/v1/track", EVENT)) for _ in range(3)]
    for _ in held:
        await gate.arrived.acquire()

    fourth = await world.post("/v1/track", EVENT)

    assert_error(fourth, 503, "ingest.busy")
    gate.open.set()
    assert [answer.status_code for answer in await asyncio.gather(*held)] == [200] * 3
    assert (await world.post("/v1/track", EVENT)).status_code == 200


async def test_beyond_so_many_bytes_at_once_senders_are_asked_to_wait() -> None:
    world, gate = gated(Bounds(memory_bytes=3_000))
    await world.keyring.refresh()
    large = {**EVENT, "properties": {"x": "y" * 2_000}}
    held = asyncio.create_task(world.post("/v1/track", large))
    await gate.arrived.acquire()

    second = await world.post("/v1/track", large)

    assert_error(second, 503, "ingest.busy")
    gate.open.set()
    assert (await held).status_code == 200
    assert (await world.post("/v1/track", large)).status_code == 200
