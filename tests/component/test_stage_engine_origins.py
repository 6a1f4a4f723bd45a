"""Where touchpoints came from: told once, when counted, and the same wherever it is read."""

from __future__ import annotations

from collections import Counter

import pytest

from clm_common import catalog
from clm_common.bus.memory import MemoryBroker
from clm_common.bus.ports import Message
from clm_common.clock import ManualClock
from clm_common.contracts.ids import profile_id
from clm_common.contracts.journey import TouchpointApplied
from clm_common.contracts.topics import JOURNEY, TOUCHPOINTS
from clm_common.instant import DAY, HOUR
from clm_stage_engine import definitions
from clm_stage_engine.api import make_app
from clm_stage_engine.channel_file import SHIPPED, ChannelFile, shipped, tables
from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.lifecycle_file import LifecycleFile
from clm_stage_engine.live import Hub
from clm_stage_engine.outbox import Facts
from tests.support.asking import Client, client_of
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import touchpoint

ADA = f"/v1/profiles/{profile_id('local', 'user_id', 'ada')}"


def with_fair() -> Channels:
    """Give the shipped tables after a rule of a company's own."""
    own = "key: own\nrules: [{channel: fair, when: {source: [essen]}}]"
    file = catalog.read(own, "own.yaml", ChannelFile).definition
    return Channels(tables([file, catalog.load(SHIPPED, ChannelFile)["shipped"].definition]))


@pytest.fixture
def client(engine: Engine) -> Client:
    clock = ManualClock(NOW)
    hub = Hub(engine.database, clock)
    return client_of(
        lambda verifier: make_app(
            engine.database, verifier, clock, engine.board, hub, producer=engine.producer
        ),
        scope="profiles:read",
    )


async def visits(engine: Engine) -> None:
    """Let ada come by an ad, by herself and by mail, and buy at the till."""
    ad = "https://shop.example/?utm_source=google&utm_medium=cpc&utm_campaign=Spring&utm_content=b"
    await engine.send(
        touchpoint(NOW - 4 * HOUR, user="ada", kind="page", url=ad),
        touchpoint(NOW - 3 * HOUR, user="ada", kind="page", url="https://shop.example/"),
        touchpoint(NOW - 2 * HOUR, user="ada", kind="page", referrer="https://mail.google.com/"),
        touchpoint(NOW - 1 * HOUR, user="ada", event="Order Completed", channel="pos"),
        touchpoint(NOW, user="ada", event="Order Shipped"),
    )
    await engine.settled()


def applied(engine: Engine) -> list[TouchpointApplied]:
    return [it for it in engine.facts() if isinstance(it, TouchpointApplied)]


async def test_the_river_says_how_each_touchpoint_came_about(engine: Engine) -> None:
    await visits(engine)

    told = {it.time: (it.channel, it.campaign, it.content) for it in applied(engine)}

    assert [told[it] for it in sorted(told)] == [
        ("paid-search", "Spring", "b"),
        ("direct", None, None),
        ("email", None, None),
        ("shop", None, None),
        (None, None, None),
    ]


async def test_the_river_out_of_the_rows_is_the_one_that_was_published(engine: Engine) -> None:
    await visits(engine)

    rows: list[bytes | None] = []
    for partition in range(TOUCHPOINTS.partitions):
        _, pieces = await Facts(engine.database, TOUCHPOINTS.name, partition)(0, 1000)
        rows += [it.value for piece in pieces for it in piece if it.topic == JOURNEY.name]

    published = [it.value for it in engine.broker.records(JOURNEY.name)]
    assert Counter(rows) == Counter(published)


async def test_timeline_and_touchpoints_say_the_same_and_can_be_asked_by_channel(
    engine: Engine, client: Client
) -> None:
    await visits(engine)

    timeline = (await client.ask(f"{ADA}/timeline"))["entries"]
    every = (await client.ask(f"{ADA}/touchpoints"))["touchpoints"]
    (ad,) = (await client.ask(f"{ADA}/touchpoints", channel="paid-search"))["touchpoints"]

    channels = [it["channel"] for it in reversed(every)]
    assert channels == ["paid-search", "direct", "email", "shop", None]
    assert [it["channel"] for it in timeline if it["kind"] == "touchpoint"] == channels
    assert (ad["campaign"], ad["content"]) == ("Spring", "b")


def fair_visitors(channels: Channels) -> Lifecycle:
    """Compile a lifecycle in which buyers who first came from a fair are told apart."""
    fair = "{all: [{event: Order Completed}, {first: channel, of: 'page:*', eq: fair}]}"
    stages = "key: fairs\nstart: a\nstages: [{key: a}, {key: b}]\n"
    text = f"{stages}moves: [{{from: a, to: b, when: {fair}}}]"
    return definitions.compiled(catalog.read(text, "fairs.yaml", LifecycleFile), channels)


async def test_new_tables_hold_for_what_comes_after_them_and_conditions_ask_the_same(
    engine_url: str,
) -> None:
    def visit(at: int, user: str) -> Message:
        return touchpoint(at, user=user, kind="page", url="https://shop.example/?utm_source=essen")

    broker = MemoryBroker()
    async with Engine(engine_url, broker, lifecycle=fair_visitors(shipped())) as before:
        await before.send(visit(NOW - 9 * DAY, "ada"))
        await before.settled()

    ours = with_fair()
    async with Engine(engine_url, broker, lifecycle=fair_visitors(ours), channels=ours) as engine:
        await engine.send(
            visit(NOW - 8 * DAY, "bob"),
            touchpoint(NOW - 1 * DAY, user="ada", event="Order Completed"),
            touchpoint(NOW - 1 * DAY, user="bob", event="Order Completed"),
        )
        await engine.settled()
        await engine.send(  # late: both are folded again, out of the rows
            touchpoint(NOW - 10 * DAY, user="ada", event="Signed Up"),
            touchpoint(NOW - 10 * DAY, user="bob", event="Signed Up"),
        )
        await engine.settled()

        rows = await engine.fetch("SELECT channel FROM history ORDER BY time DESC")
        assert [row["channel"] for row in rows] == ["", "", "fair", "direct", "", ""]
        stages = [engine.timeline("user_id", who)[-1].target for who in ("ada", "bob")]
        assert stages == ["a", "b"]
