"""The river copied out of the rows on real servers, and a subscriber filled from the copy."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable
from functools import partial

import pytest

from clm_common.contracts import journey
from clm_common.contracts.journey import IdentityMoved, TouchpointApplied
from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.topics import JOURNEY, TOUCHPOINTS
from clm_metrics.core.calendar import Zones
from clm_metrics.handlers import open_handler
from clm_metrics.store import SCHEMA
from clm_stage_engine.outbox import Facts
from tests.support.consuming import consuming
from tests.support.measuring import figures, totals
from tests.support.servers import DatabaseServer, KafkaNode
from tests.support.shop import COPY, Records, Shop, clickstream, open_shop


@pytest.fixture
async def shop(kafka_node: Callable[[], KafkaNode], engine_url: str) -> AsyncGenerator[Shop]:
    async with open_shop(kafka_node(), engine_url) as running:
        yield running


counting = partial(consuming, SCHEMA, partial(open_handler, Zones()))
"""Count what stands on a topic, from the offsets on; when entered, all of it is counted."""


def of_workspace(records: Records, workspace: str) -> list[tuple[bytes, bytes]]:
    return sorted(
        (key, value)
        for batch in records.values()
        for key, value, _ in batch
        if journey.decode(value).workspace == workspace
    )


async def test_a_copy_holds_the_bytes_of_the_live_river_partition_by_partition(shop: Shop) -> None:
    touches = clickstream(random.Random(5), 300, "a")
    await shop.send(touches)
    live = await shop.settled(300)

    code, result, told = await shop.republish()
    copied = await shop.read(COPY.name)

    assert code == 0, told
    assert "facts" in told
    kinds = {type(journey.decode(value)) for batch in live.values() for _, value, _ in batch}
    assert kinds == {TouchpointApplied, StageChange, IdentityMoved}
    assert result["facts"] == sum(map(len, live.values()))
    assert {part: sorted(batch) for part, batch in copied.items()} == {
        part: sorted(batch) for part, batch in live.items()
    }
    for lane in range(TOUCHPOINTS.partitions):
        _, pieces = await Facts(shop.engine, TOUCHPOINTS.name, lane)(0, 100_000)
        own = {(it.key, it.value) for piece in pieces for it in piece}
        for part in live:
            assert [it for it in copied[part] if it[:2] in own] == [
                it for it in live[part] if it[:2] in own
            ]


async def test_a_metrics_service_filled_from_a_copy_and_switched_over_counts_as_the_live_one(
    shop: Shop, database_server: DatabaseServer, metrics_template: str
) -> None:
    chance = random.Random(6)
    await shop.send(clickstream(chance, 200, "a"))
    await shop.settled(200)
    await shop.send(clickstream(chance, 200, "b"))  # flows while the copy is made
    code, result, told = await shop.republish()
    assert code == 0, told
    await shop.send(clickstream(chance, 200, "c"))
    await shop.settled(600)
    urls = [await database_server.create(metrics_template) for _ in "ab"]

    switch = {int(part): at for part, at in result["switch_over"][JOURNEY.name].items()}
    async with counting(urls[1], shop.kafka, COPY.name) as database:
        behind = await totals(database)
    async with (
        counting(urls[0], shop.kafka, JOURNEY.name) as live,
        counting(urls[1], shop.kafka, JOURNEY.name, switch) as filled,
    ):
        wanted, found = await figures(live), await figures(filled)
        everything, together = await totals(live), await totals(filled)

    for url in urls:
        await database_server.drop(url)
    assert set(switch) == set(range(JOURNEY.partitions))
    assert behind != everything
    assert found == wanted
    assert together == everything


async def test_a_copy_is_gone_on_with_and_never_made_where_something_is(shop: Shop) -> None:
    chance = random.Random(7)
    await shop.send(clickstream(chance, 100, "a"))
    await shop.settled(100)

    nothing_begun = await shop.republish("--workspace", "acme", "--resume")
    first = await shop.republish("--workspace", "acme")
    again = await shop.republish("--workspace", "acme")
    another = await shop.republish()
    live_itself = await shop.republish("--to", JOURNEY.name)
    await shop.send(clickstream(chance, 100, "b"))
    live = await shop.settled(200)
    resumed = await shop.republish("--workspace", "acme", "--resume")

    assert (nothing_begun[0], first[0], again[0], another[0]) == (78, 0, 78, 78)
    assert "--resume" in again[2]
    assert "not empty" in another[2]
    assert live_itself[0] == 2
    assert resumed[0] == 0
    copied = await shop.read(COPY.name)
    assert of_workspace(copied, "acme") == of_workspace(live, "acme")
    assert of_workspace(copied, "zeta") == []
