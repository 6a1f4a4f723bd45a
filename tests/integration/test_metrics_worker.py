"""Metrics' worker on a real database: what cannot be read, crashes, hand-overs and gauges."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import msgspec
import pytest

from clm_common import telemetry
from clm_common.bus.memory import MemoryBroker, MemoryProducer
from clm_common.bus.ports import Message
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.topics import JOURNEY, JOURNEY_DLQ
from clm_metrics import gauges
from clm_metrics.core.ledger import ENTRIES, PRESENT, REACHED
from tests.support.measuring import Metrics, figures, summed, totals
from tests.support.river import applied, change, message, moved, path, retraction


@pytest.fixture
async def metrics(metrics_url: str) -> AsyncGenerator[Metrics]:
    async with Metrics(metrics_url, MemoryBroker()) as running:
        yield running


async def test_a_person_who_walks_through_the_stages_is_counted(metrics: Metrics) -> None:
    await metrics.send(
        applied("ada", "2026-11-01T10:00:00Z", message_id="m-0"),
        *path("ada", ("2026-11-01T10:00:00Z", "reach"), ("2026-11-02T10:00:00Z", "acquisition")),
        *path("bob", ("2026-11-01T10:00:00Z", "reach")),
    )

    await metrics.settled()

    found = await metrics.board.stages("acme", "reach")
    assert [(each.stage, each.people, each.reached) for each in found.lifecycles[0].stages] == [
        ("reach", 1, 2),
        ("acquisition", 1, 1),
    ]


async def test_a_merged_device_is_counted_with_its_owner_only(metrics: Metrics) -> None:
    device = path("device", ("2026-11-01T10:00:00Z", "reach"))
    await metrics.send(*device, *path("ada", ("2026-11-02T10:00:00Z", "reach")))
    await metrics.settled()

    await metrics.send(
        moved("device", "ada", "2026-11-02T10:00:00Z"),
        retraction(device[0]),
        retraction(change("ada", "2026-11-02T10:00:00Z", "reach", cause="m-0")),
        change("ada", "2026-11-01T10:00:00Z", "reach", version=2),
    )
    await metrics.settled()

    assert await totals(metrics.database) == {
        ("acme", "reach", ENTRIES, "reach"): 1,
        ("acme", "reach", PRESENT, "reach"): 1,
        ("acme", "reach", REACHED, "reach"): 1,
    }


POISON = (
    None,
    b"",
    b"\xff\xfe",
    b'{"kind": "stage_changed"}',
    b'{"kind": "nonsense"}',
    b"[" * 50_000,
    msgspec.json.encode(change("ada", "2026-11-01T10:00:00Z", "rea\0ch")),
    msgspec.json.encode(change("ada", "2026-11-01T10:00:00Z", "x" * 200)),
    msgspec.json.encode(change("ada", "2026-11-01T10:00:00Z", "reach", version=0)),
    msgspec.json.encode(change("ada", "2026-11-01T10:00:00Z", "reach", version=2**63)),
)


async def test_what_can_never_be_counted_is_buried_and_the_partition_goes_on(
    metrics: Metrics,
) -> None:
    good = message(change("ada", "2026-11-01T10:00:00Z", "reach"))
    poison = [Message(JOURNEY.name, good.key, value or b"") for value in POISON]

    await MemoryProducer(metrics.broker).publish([*poison, good])
    await metrics.settled()

    letters = [
        msgspec.json.decode(each.value or b"", type=DeadLetter)
        for each in metrics.broker.records(JOURNEY_DLQ.name)
    ]
    assert [letter.original for letter in letters] == [each.value for each in poison]
    assert {letter.reason for letter in letters} == {"journey.invalid", "stage_change.invalid"}
    assert (await totals(metrics.database))["acme", "reach", PRESENT, "reach"] == 1


async def test_a_longest_name_of_four_byte_letters_can_be_kept(metrics: Metrics) -> None:
    name = "\N{WHITE SMILING FACE}\N{GRINNING FACE}" * 64

    await metrics.send(
        change("ada", "2026-11-01T10:00:00Z", name, lifecycle=name, workspace=name, cause=name)
    )
    await metrics.settled()

    assert metrics.broker.records(JOURNEY_DLQ.name) == []
    assert (await totals(metrics.database))[name, name, PRESENT, name] == 1


async def test_a_killed_worker_is_followed_by_one_that_counts_nothing_twice(
    metrics_url: str,
) -> None:
    broker = MemoryBroker()
    people = [f"p{index}" for index in range(200)]
    rivers = [
        path(name, ("2026-11-01T10:00:00Z", "reach"), ("2026-11-02T10:00:00Z", "conversion"))
        for name in people
    ]
    async with Metrics(metrics_url, broker, owner="first") as first:
        await first.send(*(each for river in rivers[:100] for each in river))
        await asyncio.sleep(0.15)
        await first.crash()

    async with Metrics(metrics_url, broker, owner="second") as second:
        await second.send(*(each for river in rivers for each in river))
        await second.settled()

        found = await totals(second.database)
        assert found["acme", "reach", ENTRIES, "reach"] == 200
        assert found["acme", "reach", ENTRIES, "conversion"] == 200
        assert found["acme", "reach", PRESENT, "conversion"] == 200
        assert ("acme", "reach", PRESENT, "reach") not in found
        assert found == summed(await figures(second.database))


async def test_the_gauges_show_the_people_and_forget_a_stage_nobody_is_in(
    metrics: Metrics,
) -> None:
    stop = asyncio.Event()
    keeping = asyncio.create_task(gauges.keep(metrics.database, stop, every=0.05))
    await metrics.send(*path("ada", ("2026-11-01T10:00:00Z", "reach")))
    await metrics.settled()
    await asyncio.sleep(0.3)
    before = telemetry.exposition().decode()

    await metrics.send(change("ada", "2026-11-02T10:00:00Z", "loyalty", source="reach", version=2))
    await metrics.settled()
    await asyncio.sleep(0.3)
    stop.set()
    await keeping

    shown = 'clm_stage_people{lifecycle="reach",stage="%s",workspace="acme"} 1.0'
    after = telemetry.exposition().decode()
    assert shown % "reach" in before
    assert shown % "reach" not in after
    assert shown % "loyalty" in after
