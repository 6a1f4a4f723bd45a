"""Ingest as a process of its own on real servers, and what lies on its topics."""

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self

import httpx
import msgspec

from clm_common.bus.kafka import KafkaSettings, PartitionReader
from clm_common.bus.kafka.admin import create_topics
from clm_common.bus.ports import Record
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.topics import TOUCHPOINTS, TOUCHPOINTS_DLQ, Topic
from clm_common.runtime.tokens import KeyPair, generate_key_pair, jwks, mint
from tests.support.forking import Running, Start, fork
from tests.support.servers import DatabaseServer

TOPICS = (TOUCHPOINTS, TOUCHPOINTS_DLQ)


class IngestProcess:
    """A running ingest, and an HTTP client for it."""

    def __init__(
        self,
        process: Running,
        url: str,
        database_url: str,
        signer: KeyPair,
    ) -> None:
        self.process = process
        self.url = url
        self.database_url = database_url
        self.renew_workspace()
        self.http = httpx.AsyncClient(base_url=url, timeout=30)
        self._signer = signer

    def renew_workspace(self) -> None:
        """Work from now on in a workspace that nobody has seen."""
        self.workspace = f"ws-{uuid.uuid4().hex[:12]}"

    def token(self, *scopes: str, workspace: str | None = None) -> dict[str, str]:
        """Give the header of a bearer token of this process's workspace, or of another."""
        token = mint(
            self._signer.private,
            workspace=workspace or self.workspace,
            subject="test",
            scopes=scopes or ("admin",),
            seconds=600,
        )
        return {"authorization": f"Bearer {token}"}

    async def create_source(
        self, name: str = "shop", *, policy: Mapping[str, object] | None = None
    ) -> str:
        """Create a source and give its write key."""
        answer = await self.http.post(
            "/v1/admin/sources", json={"name": name, "policy": policy or {}}, headers=self.token()
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["write_key"])

    async def until_ready(self, *, ready: bool = True) -> None:
        """Wait until `/ready` says so."""

        async def as_wished() -> bool:
            return (await self.http.get("/ready")).is_success is ready

        await until(as_wished)

    async def metric(self, name: str, labels: str = "") -> float:
        """Give the value of a metric, 0 where it has none."""
        text = (await self.http.get("/metrics")).text
        values = [line.rpartition(" ")[2] for line in text.splitlines() if _is(line, name, labels)]
        return sum(map(float, values))

    async def stop(self) -> int:
        """Have it end in good order and give its exit code."""
        self.process.terminate()
        async with asyncio.timeout(60):
            return await self.process.wait()


async def until(claim: Callable[[], Awaitable[bool]], *, seconds: float = 60) -> float:
    """Wait until something holds in another process; gives the seconds it took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(seconds):
        while not await claim():  # noqa: ASYNC110 - nobody sets an event for us over there
            await asyncio.sleep(0.05)
    return loop.time() - began


def _is(line: str, name: str, labels: str) -> bool:
    return line.startswith((f"{name} ", f"{name}{{")) and labels in line


@asynccontextmanager
async def two_ingests(
    kafka_bootstrap: str, server: DatabaseServer, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[tuple[IngestProcess, IngestProcess]]:
    """Run two on one new database, for tests that leave each other alone by their workspaces."""
    await create_ingest_topics(kafka_bootstrap)
    url = await server.create()
    signer = generate_key_pair()
    async with (
        ingest(kafka_bootstrap, url, signer=signer, environment=environment) as one,
        ingest(kafka_bootstrap, url, signer=signer, environment=environment) as two,
    ):
        await asyncio.gather(one.until_ready(), two.until_ready())
        yield one, two
    await server.drop(url)


@asynccontextmanager
async def ingest(
    bootstrap: str,
    database_url: str,
    *,
    signer: KeyPair | None = None,
    environment: Mapping[str, str] | None = None,
    start: Start = fork,
) -> AsyncGenerator[IngestProcess]:
    """Run ingest; on leaving it is killed, if it still runs."""
    signer = signer or generate_key_pair()
    variables = {
        "CLM_KAFKA_BOOTSTRAP": bootstrap,
        "CLM_DATABASE_URL": database_url,
        "CLM_TOKEN_KEYS": jwks([signer.public]),
        "CLM_HTTP_PORT": "0",
        **(environment or {}),
    }
    process = await start("clm_ingest", variables)
    assert process.stdout is not None
    lines: list[dict[str, Any]] = []  # Any: log lines, kept to be shown when a test fails
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(_follow(process.stdout, lines, port))
    try:
        async with asyncio.timeout(60):
            running = IngestProcess(process, f"http://127.0.0.1:{await port}", database_url, signer)
        yield running
        await running.http.aclose()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading
        sys.stderr.write("".join(f"{json.dumps(line)}\n" for line in lines))


async def _follow(
    stream: asyncio.StreamReader, lines: list[dict[str, Any]], port: asyncio.Future[int]
) -> None:
    async for raw in stream:
        line = json.loads(raw)
        lines.append(line)
        if line["event"] == "service.listening" and not port.done():
            port.set_result(line["port"])
    if not port.done():
        port.set_exception(RuntimeError("ingest ended before it listened"))


async def create_ingest_topics(bootstrap: str) -> None:
    """Create the topics that ingest writes to."""
    await create_topics(KafkaSettings(bootstrap=bootstrap), TOPICS)


async def records_of(bootstrap: str, topic: Topic, workspace: str) -> list[Record]:
    """Give everything that lies on a topic for one workspace, in order per partition."""
    found: list[Record] = []
    async with PartitionReader(KafkaSettings(bootstrap=bootstrap)) as reader:
        ends = await reader.end_offsets(topic.name)
        reader.assign({(topic.name, partition): 0 for partition in ends})
        left = {partition for partition, end in ends.items() if end > 0}
        async with asyncio.timeout(60):
            while left:
                batches = await reader.read(limit=5_000, wait=0.5)
                for (_, partition), records in batches.items():
                    found.extend(records)
                    if records[-1].offset + 1 >= ends[partition]:
                        left.discard(partition)
    return [record for record in found if (record.key or b"").startswith(f"{workspace}:".encode())]


class Tail:
    """What is written to a topic from the beginning of the block on."""

    def __init__(self, bootstrap: str, topic: Topic) -> None:
        self._topic = topic.name
        self._reader = PartitionReader(KafkaSettings(bootstrap=bootstrap))
        self._next: dict[int, int] = {}

    async def __aenter__(self) -> Self:
        self._next = await self._reader.end_offsets(self._topic)
        self._reader.assign({(self._topic, each): at for each, at in self._next.items()})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.close()

    async def read(self) -> list[Record]:
        """Give what lies there by now and was not given before, in order per partition."""
        ends = await self._reader.end_offsets(self._topic)
        found: list[Record] = []
        async with asyncio.timeout(60):
            while any(self._next[each] < end for each, end in ends.items()):
                batches = await self._reader.read(limit=5_000, wait=0.5)
                for (_, partition), records in batches.items():
                    found += records
                    self._next[partition] = records[-1].offset + 1
        return found


async def letters_of(bootstrap: str, workspace: str) -> list[DeadLetter]:
    """Give the dead letters of one workspace."""
    records = await records_of(bootstrap, TOUCHPOINTS_DLQ, workspace)
    return [msgspec.json.decode(record.value or b"", type=DeadLetter) for record in records]
