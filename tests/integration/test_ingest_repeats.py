"""An event counts once on the river, also where ingest cannot know that it is a repeat."""

from __future__ import annotations

from clm_common.bus.memory import MemoryBroker, MemoryProducer
from clm_common.contracts.journey import TouchpointApplied
from clm_common.contracts.topics import JOURNEY, TOUCHPOINTS
from clm_ingest.core.admission import Origin, admit
from clm_ingest.core.parcel import Limits, unpack_batch
from clm_ingest.core.window import Window
from clm_ingest.outlet import Outlet
from clm_stage_engine.outbox import Facts
from tests.support.engine import NOW, Engine

BATCH = b"""{"batch": [
    {"type": "track", "event": "Signed In", "userId": "u-1", "messageId": "timed",
     "timestamp": "2025-11-01T10:00:00.5Z",
     "context": {"userAgent": "Mozilla/5.0 (compatible; bingbot/2.0)"}},
    {"type": "track", "event": "Signed In", "userId": "u-1", "messageId": "untimed"}]}"""


async def deliver(outlet: Outlet, received: int) -> None:
    limits = Limits()
    origin = Origin("local", "shop", received)
    verdicts = admit(unpack_batch(BATCH, limits), origin, limits, lambda: "new")
    assert verdicts.refused == []
    await outlet.put(("local", "shop"), verdicts)


async def test_a_repeat_after_a_restart_or_through_another_process_lands_once_on_the_river(
    engine_url: str,
) -> None:
    broker = MemoryBroker()
    async with Engine(engine_url, broker) as engine:
        for process in range(3):  # each has an empty window, as one that has just started
            outlet = Outlet(MemoryProducer(broker), Window(1_000_000))
            await deliver(outlet, NOW - 1_000_000 + process)
            await deliver(outlet, NOW - 500_000 + process)
            await engine.settled()
        published = len(broker.records(TOUCHPOINTS.name))
        applied = [it.message_id for it in engine.facts() if isinstance(it, TouchpointApplied)]

    assert published == 3 * 2
    assert sorted(applied) == ["timed", "untimed"]


async def test_a_crawlers_mark_reaches_the_river_and_is_republished_alike(
    engine_url: str,
) -> None:
    broker = MemoryBroker()
    async with Engine(engine_url, broker) as engine:
        await deliver(Outlet(MemoryProducer(broker), Window(0)), NOW - 1_000_000)
        await engine.settled()
        marks = {
            it.message_id: it.marks for it in engine.facts() if isinstance(it, TouchpointApplied)
        }
        published = broker.records(JOURNEY.name)
        again = [
            message.value
            for partition in range(TOUCHPOINTS.partitions)
            for piece in (await Facts(engine.database, TOUCHPOINTS.name, partition)(0, 100))[1]
            for message in piece
            if message.topic == JOURNEY.name
        ]

    assert marks == {"timed": ("bot",), "untimed": ()}
    assert sorted(again) == sorted(it.value or b"" for it in published)
