"""A terminal on a running engine: where `clm` asks stage-engine, and people to ask about."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from clm_common.bus.kafka import GroupProducer, KafkaSettings
from clm_common.bus.kafka.admin import create_topics
from clm_common.bus.ports import Message
from clm_common.instant import HOUR
from clm_common.runtime.tokens import KeyPair, generate_key_pair, jwks, mint
from tests.support.ingest import until
from tests.support.processes import ServiceProcess, service
from tests.support.servers import DatabaseServer, KafkaNode, own_node
from tests.support.several import SHOP
from tests.support.terminal import Terminal, terminal_of
from tests.support.touchpoints import touchpoint

ORDER: Final = "Order Completed"
OWN: Final = SHOP.replace("key: shop", "key: own")
"""A definition that no file of the engine holds."""

Json = Any  # Any: what an answer holds


class Servers:
    """The running engine, and what is shared by the tests."""

    def __init__(
        self, kafka: KafkaSettings, database: str, engine: ServiceProcess, signer: KeyPair
    ) -> None:
        self.kafka, self.database, self.engine, self.signer = kafka, database, engine, signer

    def terminal(self, home: Path, workspace: str, signer: KeyPair) -> Terminal:
        """Give a terminal whose tokens are signed so."""
        urls, servers = {"stage-engine": self.engine.url}, (self.kafka.bootstrap, self.database)
        return terminal_of(home, workspace, urls, signer, servers)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def servers(
    server_home: Path, database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Servers]:
    """Run an engine on a database that it migrates itself; `shop` can be started in it."""
    folder = tmp_path_factory.mktemp("lifecycles")
    (folder / "shop.yaml").write_text(SHOP)
    signer = generate_key_pair()
    with ExitStack() as stack:
        node = own_node(KafkaNode, server_home, stack)
        await node.start()
        kafka = KafkaSettings(bootstrap=node.bootstrap)
        await create_topics(kafka)
        async with database_server.lend() as url:
            told = {
                "CLM_DATABASE_URL": url,
                "CLM_KAFKA_BOOTSTRAP": node.bootstrap,
                "CLM_TOKEN_KEYS": jwks([signer.public]),
                "CLM_LIFECYCLE_DIR": str(folder),
                "CLM_SECRETS_KEY": "k" * 32,
                "CLM_WEBHOOKS_HTTP": "true",
                "CLM_WEBHOOKS_PRIVATE": "true",
            }
            async with service("clm_stage_engine", told) as engine:
                yield Servers(kafka, url, engine, signer)


class Desk:
    """A terminal in a workspace of its own."""

    def __init__(self, servers: Servers, home: Path) -> None:
        self.servers = servers
        self.workspace = f"ws-{uuid.uuid4().hex[:12]}"
        self.own = servers.terminal(home, self.workspace, servers.signer)
        self.now = time.time_ns() // 1000

    async def clm(self, *arguments: str, code: int | None = 0, typed: str | None = None) -> str:
        """Run a command while the test's own servers go on answering."""
        return await asyncio.to_thread(self.own.clm, *arguments, code=code, typed=typed)

    async def ask(self, path: str, **params: str) -> Json:
        token = mint(
            self.servers.signer.private,
            workspace=self.workspace,
            subject="test",
            scopes=["profiles:read"],
            seconds=300,
        )
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=self.servers.engine.url, timeout=30) as http:
            return (await http.get(path, params=params, headers=headers)).json()

    async def person(self, identifier: str) -> Json:
        """Give who has an identifier; None where nobody has it."""
        found = (await self.ask("/v1/profiles", identifier=identifier)).get("profiles")
        return found[0] if found else None

    async def becomes(self, identifier: str, touchpoints: int | None) -> None:
        """Wait until somebody has so many touchpoints, or is nobody."""

        async def so() -> bool:
            found = await self.person(identifier)
            return touchpoints == (None if found is None else found["touchpoints"])

        await until(so)

    def order(self, who: str, hours: int) -> Message:
        return touchpoint(self.now - hours * HOUR, user=who, event=ORDER, workspace=self.workspace)

    def known(self, who: str, on: str, hours: int) -> Message:
        return touchpoint(
            self.now - hours * HOUR,
            user=who,
            anonymous=on,
            kind="identify",
            traits={"email": "home@example.com"},
            workspace=self.workspace,
        )

    async def send(self, *messages: Message) -> None:
        async with GroupProducer(self.servers.kafka) as producer:
            await producer.publish(messages)

    async def peopled(self) -> None:
        """Let ada order twice, and bob, who has a phone and the same address, once."""
        await self.send(
            self.known("ada", "laptop", 9),
            *(self.order("ada", hours) for hours in (8, 7)),
            self.known("bob", "phone", 6),
            self.order("bob", 5),
        )
        await self.becomes("user_id:ada", 3)
        await self.becomes("user_id:bob", 2)
