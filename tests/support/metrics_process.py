"""Metrics as a process of its own on real servers."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

from clm_common.bus.kafka import GroupProducer, KafkaSettings
from clm_common.bus.kafka.admin import create_topics
from clm_common.bus.ports import Message
from clm_common.contracts.topics import ERASURES, JOURNEY, JOURNEY_DLQ
from clm_common.runtime.tokens import generate_key_pair, jwks, mint
from tests.support.forking import Forked, fork

SIGNER = generate_key_pair()

Json = Any  # Any: what an answer holds


class River:
    """`clm.journey` on a real broker, and a workspace that no other test has seen."""

    def __init__(self, bootstrap: str) -> None:
        self.workspace = f"ws-{uuid.uuid4().hex[:12]}"
        self._kafka = KafkaSettings(bootstrap=bootstrap)

    async def prepare(self) -> None:
        await create_topics(self._kafka, (JOURNEY, JOURNEY_DLQ, ERASURES))

    async def publish(self, messages: Sequence[Message]) -> None:
        async with GroupProducer(self._kafka) as producer, asyncio.timeout(30):
            await producer.publish(messages)


class MetricsProcess:
    """A running metrics, and an HTTP client for it."""

    def __init__(self, process: Forked, port: int, workspace: str) -> None:
        self.process = process
        token = mint(
            SIGNER.private,
            workspace=workspace,
            subject="test",
            scopes=["metrics:read"],
            seconds=600,
        )
        self.http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            headers={"authorization": f"Bearer {token}"},
            timeout=30,
        )

    async def until_ready(self) -> None:
        async with asyncio.timeout(60):
            while not (await self.http.get("/ready")).is_success:  # noqa: ASYNC110 - it is polled
                await asyncio.sleep(0.1)

    async def ask(self, url: str, **params: str) -> Json:
        answer = await self.http.get(url, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def entries(self) -> int:
        """Count all stage entries of the workspace."""
        found = await self.ask("/v1/stages")
        return sum(
            each["entries"]["ever"] for funnel in found["lifecycles"] for each in funnel["stages"]
        )

    async def until_some(self) -> None:
        """Wait until something is counted."""
        async with asyncio.timeout(60):
            while not await self.entries():  # noqa: ASYNC110 - it is polled
                await asyncio.sleep(0.01)

    async def until_entries(self, count: int) -> None:
        """Wait until so many stage entries stand."""
        async with asyncio.timeout(60):
            while await self.entries() != count:  # noqa: ASYNC110 - it is polled
                await asyncio.sleep(0.1)

    def kill(self) -> None:
        """Kill -9."""
        self.process.kill()

    async def stop(self) -> int:
        """Have it end in good order and give its exit code."""
        self.process.terminate()
        async with asyncio.timeout(30):
            return await self.process.wait()


def environment(bootstrap: str, database_url: str, **more: str) -> dict[str, str]:
    """Give what a metrics process is told."""
    return {
        "CLM_KAFKA_BOOTSTRAP": bootstrap,
        "CLM_DATABASE_URL": database_url,
        "CLM_TOKEN_KEYS": jwks([SIGNER.public]),
        "CLM_HTTP_PORT": "0",
        **more,
    }


@asynccontextmanager
async def metrics(told: Mapping[str, str], workspace: str) -> AsyncGenerator[MetricsProcess]:
    """Run a process and wait until it is ready; on leaving it is killed if it still runs."""
    process = await fork("clm_metrics", told)
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(_follow(process.stdout, port))
    try:
        async with asyncio.timeout(60):
            running = MetricsProcess(process, await port, workspace)
        async with running.http:
            await running.until_ready()
            yield running
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


async def _follow(stream: asyncio.StreamReader, port: asyncio.Future[int]) -> None:
    async for raw in stream:
        sys.stderr.write(raw.decode())
        line = json.loads(raw)
        if line["event"] == "service.listening" and not port.done():
            port.set_result(line["port"])
    if not port.done():
        port.set_exception(RuntimeError("metrics ended before it listened"))
