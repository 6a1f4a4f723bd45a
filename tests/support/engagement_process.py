"""Engagement as a process of its own on real servers."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec

from clm_common.bus.kafka import GroupProducer, KafkaSettings, PartitionReader
from clm_common.bus.kafka.admin import create_topics
from clm_common.bus.ports import Message
from clm_common.contracts.journey import TYPE_OF, JourneyMessage
from clm_common.contracts.topics import ERASURES, JOURNEY, JOURNEY_DLQ, TOUCHPOINTS
from clm_common.runtime.tokens import generate_key_pair, jwks, mint
from tests.support.engagement import KEY
from tests.support.forking import Forked, fork
from tests.support.processes import follow

SIGNER = generate_key_pair()


class Shop:
    """One workspace on the shared servers: its river, and what its engagement processes need."""

    def __init__(self, bootstrap: str, environment: Mapping[str, str]) -> None:
        self.workspace = f"ws-{uuid.uuid4().hex[:12]}"
        self.environment = environment
        self._kafka = KafkaSettings(bootstrap=bootstrap)

    async def publish(self, *messages: JourneyMessage) -> None:
        """Publish facts on the river, as stage-engine does."""
        records = [
            Message(
                JOURNEY.name,
                str(it.profile_id).encode(),
                msgspec.json.encode(it),
                (("ce_type", TYPE_OF[type(it)].encode()),),
            )
            for it in messages
        ]
        await self.publish_raw(*records)

    async def publish_raw(self, *records: Message) -> None:
        """Publish anything."""
        async with GroupProducer(self._kafka) as producer:
            async with asyncio.timeout(30):
                await producer.publish(records)

    async def touchpoints(self) -> list[dict[str, Any]]:  # Any: JSON as it is
        """Give what lies on clm.touchpoints for this workspace."""
        return [
            msgspec.json.decode(value)
            for key, value in await self._all(TOUCHPOINTS.name)
            if key.startswith(f"{self.workspace}:".encode())
        ]

    async def dead_letters(self) -> list[bytes]:
        """Give the values on the river's dead letters."""
        return [value for _, value in await self._all(JOURNEY_DLQ.name)]

    async def _all(self, topic: str) -> list[tuple[bytes, bytes]]:
        found: list[tuple[bytes, bytes]] = []
        async with PartitionReader(self._kafka) as reader:
            ends = await reader.end_offsets(topic)
            reader.assign({(topic, partition): 0 for partition in ends})
            left = {partition for partition, end in ends.items() if end > 0}
            async with asyncio.timeout(60):
                while left:
                    for (_, partition), records in (
                        await reader.read(limit=5_000, wait=0.5)
                    ).items():
                        found += [(it.key or b"", it.value or b"") for it in records]
                        if records[-1].offset + 1 >= ends[partition]:
                            left.discard(partition)
        return found

    def token(self, *scopes: str, workspace: str | None = None) -> dict[str, str]:
        """Give the header of a bearer token of this workspace, or of another."""
        token = mint(
            SIGNER.private,
            workspace=workspace or self.workspace,
            subject="test",
            scopes=scopes or ("engagement:read",),
            seconds=600,
        )
        return {"authorization": f"Bearer {token}"}


class EngagementProcess:
    """A running engagement, and an HTTP client for it."""

    def __init__(self, process: Forked, url: str, shop: Shop) -> None:
        self.process = process
        self.http = httpx.AsyncClient(base_url=url, timeout=30)
        self._shop = shop

    async def until_ready(self) -> None:
        """Wait until `/ready` says so."""
        async with asyncio.timeout(60):
            while not (await self.http.get("/ready")).is_success:  # noqa: ASYNC110 - it is polled
                await asyncio.sleep(0.1)

    async def messages(self, **query: str) -> list[dict[str, Any]]:  # Any: JSON as it is
        """Give all messages of the workspace, page by page."""
        found: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            answer = await self.http.get(
                "/v1/messages",
                params={**query, "limit": "50"} | ({"cursor": cursor} if cursor else {}),
                headers=self._shop.token(),
            )
            assert answer.status_code == 200, answer.text
            found += answer.json()["messages"]
            cursor = answer.json()["next"]
        return found

    async def until(self, state: str, count: int, *, seconds: float = 60) -> list[dict[str, Any]]:
        """Wait until so many messages are in a state."""
        async with asyncio.timeout(seconds):
            while len(found := await self.messages(state=state)) != count:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.1)
        return found

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()

    async def stop(self) -> int:
        """Have it end in good order and give its exit code."""
        self.process.terminate()
        async with asyncio.timeout(30):
            return await self.process.wait()


@asynccontextmanager
async def shop(
    bootstrap: str, database_url: str, smtp_url: str, **more: str
) -> AsyncGenerator[Shop]:
    """Make a workspace and the environment of its engagement processes."""
    topics = (JOURNEY, JOURNEY_DLQ, TOUCHPOINTS, ERASURES)
    await create_topics(KafkaSettings(bootstrap=bootstrap), topics)
    environment = {
        "CLM_KAFKA_BOOTSTRAP": bootstrap,
        "CLM_DATABASE_URL": database_url,
        "CLM_TOKEN_KEYS": jwks([SIGNER.public]),
        "CLM_HTTP_PORT": "0",
        "CLM_SMTP_URL": smtp_url,
        "CLM_MAIL_FROM": "Shop <hello@shop.example.com>",
        "CLM_PUBLIC_URL": "https://shop.example.com",
        "CLM_SIGNING_KEY": KEY.decode(),
        **more,
    }
    yield Shop(bootstrap, environment)


@asynccontextmanager
async def engagement(shop: Shop, *, ready: bool = True) -> AsyncGenerator[EngagementProcess]:
    """Run a process and (unless told not to) wait until it is ready; on leaving it is killed."""
    process = await fork("clm_engagement", shop.environment)
    lines: list[str] = []
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(follow(process.stdout, lines, port))
    try:
        async with asyncio.timeout(30):
            running = EngagementProcess(process, f"http://127.0.0.1:{await port}", shop)
        async with running.http:
            if ready:
                await running.until_ready()
            yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading
        sys.stderr.write("".join(lines))
