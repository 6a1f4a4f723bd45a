"""Engagement on a real database: take in a river, deliver, and look at the rows."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from pydantic import SecretStr

from clm_common.bus.memory import MemoryBroker, MemoryProducer
from clm_common.clock import ManualClock
from clm_common.contracts.journey import JourneyMessage
from clm_common.errors import RaceLost
from clm_common.instant import SECOND
from clm_common.store.database import Database
from clm_engagement.channels import discover
from clm_engagement.channels.port import Channel, Sender
from clm_engagement.core.facts import learn_all
from clm_engagement.core.keyed import Keyed
from clm_engagement.definitions import Definitions, load_definitions
from clm_engagement.delivery import Delivery
from clm_engagement.handlers import Learnt, Plans
from clm_engagement.letters import Terms
from clm_engagement.reports import Reports
from clm_engagement.settings import Settings
from clm_engagement.store import SCHEMA
from tests.support.engagement import KEY, NOW, WINDOW, write_journeys
from tests.support.smtp import Mailbox


class World:
    """One process's engagement, driven by hand."""

    def __init__(self, database: Database, definitions: Definitions, clock: ManualClock) -> None:
        self.database = database
        self.definitions = definitions
        self.clock = clock
        self.broker = MemoryBroker()
        self.reports = Reports(database, MemoryProducer(self.broker))
        self.plans = Plans(definitions.journeys, clock=clock, window=WINDOW)

    async def take(self, *messages: JourneyMessage) -> None:
        """Take in one batch, as the worker does."""
        while True:
            try:
                async with self.database.transaction() as tx:
                    await Learnt(learn_all(messages), (), self.plans).write(tx, 0)
            except RaceLost:
                continue
            return

    async def rows(self) -> list[dict[str, Any]]:  # Any: rows as they are
        """Give every message's row."""
        async with self.database.connection() as db:
            return [dict(row) for row in await db.fetch("SELECT * FROM message ORDER BY id")]

    async def row(self) -> dict[str, Any]:  # Any: a row as it is
        """Give the only message's row."""
        (found,) = await self.rows()
        return found

    async def fates(self) -> Counter[tuple[str, str | None]]:
        """Count the messages by state and reason."""
        return Counter((row["state"], row["reason"]) for row in await self.rows())

    async def execute(self, statement: str, *values: object) -> None:
        """Run a statement of the test's own."""
        async with self.database.connection() as db:
            await db.execute(statement, *values)

    def delivery(
        self, senders: dict[str, Sender], *, at_once: int = 4, lease: float = 60
    ) -> Delivery:
        """Make a delivery over these senders."""
        terms = Terms(
            sender=("Shop", "shop@example.com"),
            public_url="https://shop.example.com/mail/",
            signing_key=KEY,
            window=WINDOW,
            lease=lease,
            at_once=at_once,
            keyed=Keyed(),
        )
        return Delivery(
            self.database,
            self.definitions,
            channels=discover(),
            senders=senders,
            terms=terms,
            clock=self.clock,
            on_sent=self.reports.wake,
            roll=lambda: 0.5,
        )


@asynccontextmanager
async def world(database_url: str, folder: Path, *, size: int = 12) -> AsyncGenerator[World]:
    """Open engagement on a database that has its tables, with one journey."""
    definitions = load_definitions(write_journeys(folder / "journeys"), discover(), "reach")
    async with Database(database_url, schema=SCHEMA, name="test", size=size) as database:
        yield World(database, definitions, ManualClock(NOW))


def settings_for(box: Mailbox, **changes: object) -> Settings:
    """Give settings that send to a mailbox."""
    base: dict[str, object] = {
        "database_url": SecretStr("postgresql://unused@127.0.0.1/unused"),
        "kafka_bootstrap": "127.0.0.1:1",
        "smtp_url": SecretStr(box.url),
        "mail_timeout": 4 * SECOND,
    }
    return Settings.model_validate(base | changes)


@asynccontextmanager
async def delivering(
    world: World, senders: dict[str, Sender], *, at_once: int = 4, lease: float = 60
) -> AsyncGenerator[Delivery]:
    """Deliver in the background while the block runs."""
    delivery = world.delivery(senders, at_once=at_once, lease=lease)
    stop = asyncio.Event()
    task = asyncio.create_task(delivery.run(stop))
    try:
        yield delivery
    finally:
        stop.set()
        await task


@asynccontextmanager
async def mailing(box: Mailbox, **changes: object) -> AsyncGenerator[dict[str, Sender]]:
    """Open the email channel on a mailbox."""
    channel: Channel = discover()["email"]
    async with AsyncExitStack() as stack:
        yield {"email": await stack.enter_async_context(channel.open(settings_for(box, **changes)))}


async def until(world: World, *fates: tuple[str, str | None], seconds: float = 20) -> None:
    """Wait until the messages have met exactly these fates."""
    try:
        async with asyncio.timeout(seconds):
            while await world.fates() != Counter(fates):  # noqa: ASYNC110 - rows tell nobody
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"expected {fates}, found {await world.fates()}") from None


def touchpoints(world: World) -> Iterable[dict[str, Any]]:  # Any: JSON as it is
    """Give what was published on clm.touchpoints."""
    return [msgspec.json.decode(it.value or b"") for it in world.broker.records("clm.touchpoints")]
