"""Engine processes on an empty system, fed and watched: what several benchmarks share."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import httpx
import psutil
from msgspec import Struct

from benchmarks.bench_engine_rivals import FACTS, FOLDED, Rate, Watch, published
from benchmarks.support import Servers
from clm_common.bus.kafka import GroupProducer, KafkaSettings
from clm_common.bus.kafka.admin import create_topics
from clm_common.bus.ports import Message
from clm_common.contracts.topics import ALL
from clm_common.runtime.tokens import generate_key_pair, jwks
from clm_common.store.migrations import migrate
from clm_stage_engine.store import SCHEMA
from tests.support.forking import execute
from tests.support.processes import ServiceProcess, service

WITHIN = 1_800.0
"""Seconds after which whatever a benchmark waits for has failed."""

_SHARED = """
    SELECT count(DISTINCT owner) FROM stage_engine.consumer_partition
    WHERE topic = 'clm.touchpoints' AND lease_until > now()
"""


class Engines(Struct, frozen=True):
    """Engine processes that run on servers of their own.

    Attributes:
        kafka: where the topics are.
        running: the processes.
        database: a connection to their database.
        http: asks them.
    """

    kafka: KafkaSettings
    running: Sequence[ServiceProcess]
    database: asyncpg.Connection
    http: httpx.AsyncClient

    @property
    def memory(self) -> float:
        """What the processes hold in memory, MB."""
        return sum(psutil.Process(it.pid).memory_info().rss for it in self.running) / 1e6

    async def count(self, statement: str) -> int:
        """Ask the database for a number."""
        return int(await self.database.fetchval(statement) or 0)

    async def folded(self) -> int:
        """Tell how many touchpoints are committed."""
        return await self.count(FOLDED)

    async def pending(self) -> int:
        """Tell how many facts are committed and not published."""
        told = [await published(self.http, it.url) for it in self.running]
        return await self.count(FACTS) - sum(told)

    async def shared(self) -> None:
        """Wait until every process has its share of the partitions."""
        async with asyncio.timeout(60):
            while await self.count(_SHARED) < len(self.running):  # noqa: ASYNC110 - another process's doing
                await asyncio.sleep(0.1)

    async def fold(self, messages: Sequence[Message]) -> Rate:
        """Send touchpoints, and give the rate from a tenth of them to the last fact published."""
        watch = Watch(len(messages), *(it.pid for it in self.running))
        async with GroupProducer(self.kafka) as producer:
            for start in range(0, len(messages), 5_000):
                await producer.publish(messages[start : start + 5_000])
        async with asyncio.timeout(WITHIN):
            while (done := await self.folded()) < len(messages):
                watch.see(min(done, len(messages) - 1))
                self.alive()
                await asyncio.sleep(0.02)
            while await self.pending() > 0:  # noqa: ASYNC110 - another process's doing
                await asyncio.sleep(0.02)
        watch.see(len(messages))
        return watch.result

    def alive(self) -> None:
        """See that all of them run.

        Raises:
            SystemExit: one has ended.
        """
        ended = [it.code for it in self.running if it.code is not None]
        if ended:
            sys.exit(f"an engine ended with {ended[0]}")


@asynccontextmanager
async def engines(
    around: Servers, processes: int = 1, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[Engines]:
    """Run engines, as a user would start them, on an empty database and empty topics.

    Args:
        around: the servers; nobody may have run an engine on them before.
        processes: how many.
        environment: settings of theirs that are not the usual ones.
    """
    url, kafka = await around.database(), KafkaSettings(bootstrap=around.kafka)
    await migrate(url, package="clm_stage_engine", schema=SCHEMA)
    await create_topics(kafka, ALL)
    variables = {
        "CLM_DATABASE_URL": url,
        "CLM_KAFKA_BOOTSTRAP": around.kafka,
        "CLM_TOKEN_KEYS": jwks([generate_key_pair().public]),
    } | dict(environment or {})
    async with AsyncExitStack() as stack:
        running = [
            await stack.enter_async_context(service("clm_stage_engine", variables, start=execute))
            for _ in range(processes)
        ]
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=30))
        database = await asyncpg.connect(url)
        stack.push_async_callback(database.close)
        found = Engines(kafka, running, database, http)
        await found.shared()
        yield found
