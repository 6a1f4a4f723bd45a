"""A stage-engine behind a broker and a database of its own, fed with a shop's visitors."""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from clm_common.bus.kafka import GroupProducer, KafkaSettings, PartitionReader
from clm_common.bus.kafka.admin import create_topics
from clm_common.bus.ports import Message
from clm_common.clock import SystemClock
from clm_common.contracts.topics import JOURNEY, TOUCHPOINTS, Topic
from clm_common.instant import DAY, HOUR
from clm_common.runtime.tokens import generate_key_pair, jwks, mint
from clm_common.store.database import Database
from tests.support.commands import program
from tests.support.processes import service
from tests.support.servers import KafkaNode
from tests.support.touchpoints import touchpoint

COPY = Topic("shop.journey-copy", JOURNEY.partitions, JOURNEY.retention_ms, "a copy")

Records = dict[int, list[tuple[bytes, bytes, tuple[tuple[str, bytes], ...]]]]
"""Per partition: key, value and headers, in order."""

_STAND = """
    SELECT sum(next_offset)::int AS offsets, sum(next_seq - 1)::int AS seqs,
        (SELECT count(*) FROM profile WHERE wake_at <= now()) AS due
    FROM consumer_partition WHERE topic = $1
"""


def clickstream(chance: random.Random, count: int, prefix: str) -> list[Message]:
    """Let visitors become customers, buy and share devices, in no order."""
    now = SystemClock().now()
    found: list[Message] = []
    for number in range(count):
        device, customer = f"d{chance.randrange(count)}", f"u{chance.randrange(count // 2)}"
        at = now - chance.randrange(2, 20) * DAY  # nothing falls due meanwhile
        step = chance.randrange(3)
        found.append(
            touchpoint(
                at + HOUR * (step == 1),
                anonymous=None if step == 2 else device,
                user=None if step == 0 else customer,
                kind=("page", "identify", "track")[step],
                event="Order Completed" if step == 2 else None,
                message_id=f"{prefix}{number}",
                workspace=chance.choice(["acme", "zeta"]),
            )
        )
    return found


class Shop:
    """An engine that runs on servers of its own, and what is asked of them."""

    def __init__(
        self, bootstrap: str, url: str, environment: Mapping[str, str] | None = None
    ) -> None:
        self.kafka = KafkaSettings(bootstrap=bootstrap)
        self.url = url
        self.sent = 0
        """How many touchpoints were sent."""
        self.engine = Database(url, schema="stage_engine", name="test")
        self.http = ""
        """Where the engine listens."""
        self._signer = generate_key_pair()
        self.environment = {
            "CLM_DATABASE_URL": url,
            "CLM_KAFKA_BOOTSTRAP": bootstrap,
            "CLM_TOKEN_KEYS": jwks([self._signer.public]),
            **(environment or {}),
        }

    def token(self, workspace: str, scope: str) -> str:
        """Give a token that the engine takes."""
        return mint(
            self._signer.private, workspace=workspace, subject="test", scopes=[scope], seconds=600
        )

    async def send(self, messages: list[Message]) -> None:
        async with GroupProducer(self.kafka) as producer:
            await producer.publish(messages)
        self.sent += sum(it.topic == TOUCHPOINTS.name for it in messages)

    async def settled(self, sent: int) -> Records:
        """Wait until so many touchpoints are folded what is due fired; give the river."""
        async with asyncio.timeout(90), self.engine.connection() as db:
            while True:
                row = await db.fetchrow(_STAND, TOUCHPOINTS.name)
                if row["offsets"] != sent or row["due"]:
                    await asyncio.sleep(0.1)
                    continue
                live = await self.read(JOURNEY.name)
                if row["seqs"] == sum(map(len, live.values())):
                    return live

    async def read(self, topic: str) -> Records:
        """Read a topic from its beginning until nothing more comes."""
        found: Records = defaultdict(list)
        async with PartitionReader(self.kafka) as reader:
            reader.assign({(topic, it): 0 for it in range(JOURNEY.partitions)})
            while records := await reader.read(limit=5_000, wait=1.0):
                for (_, partition), batch in records.items():
                    found[partition] += [
                        (it.key or b"", it.value or b"", tuple(it.headers)) for it in batch
                    ]
        return found

    async def republish(
        self, *arguments: str, **environment: str
    ) -> tuple[int, Any, str]:  # Any: what it prints
        """Run the program; gives its exit code, its result and what it told."""
        done = await program(
            "clm_stage_engine.republish",
            *("--to", COPY.name, *arguments),
            **(self.environment | environment),
        )
        return done.code, json.loads(done.out or "null"), done.told


@asynccontextmanager
async def open_shop(
    node: KafkaNode, url: str, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[Shop]:
    """Run an engine on a broker of its own, which remembers how far it published.

    Args:
        node: the broker.
        url: its database, which has its tables.
        environment: what it is told besides.
    """
    await node.start()
    running = Shop(node.bootstrap, url, environment)
    await create_topics(running.kafka)
    async with running.engine, service("clm_stage_engine", running.environment) as process:
        running.http = process.url
        yield running
