"""From HTTP to the river: ingest and a stage-engine behind it, as processes on real servers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from clm_common.bus.kafka import KafkaSettings
from clm_common.bus.kafka.admin import create_topics
from clm_common.runtime.tokens import generate_key_pair, jwks
from tests.support.ingest import IngestProcess, ingest
from tests.support.processes import ServiceProcess, service
from tests.support.servers import DatabaseServer, KafkaNode, own_node


@dataclass(frozen=True)
class Pipeline:
    """Both processes and their broker; one signer's tokens are good for either."""

    ingest: IngestProcess
    engine: ServiceProcess
    bootstrap: str
    environment: Mapping[str, str]
    """What the engine was told; another one told the same takes over from it."""

    def behind(self, database_url: str) -> dict[str, str]:
        """Give what a service that reads the engine's river is told."""
        return {**self.environment, "CLM_DATABASE_URL": database_url}


@asynccontextmanager
async def pipeline(
    server_home: Path,
    databases: DatabaseServer,
    *,
    environment: Mapping[str, str] | None = None,
    told: Mapping[str, str] | None = None,
) -> AsyncGenerator[Pipeline]:
    """Run both, with a broker and databases of their own, until leaving.

    The broker is not shared: it remembers how far a stage-engine has published, so a second one
    with an empty database would hold its first facts to be published already.

    Args:
        server_home: where servers keep what is theirs.
        databases: where to make the two databases.
        environment: what ingest is told besides.
        told: what the engine, and whoever reads its river, is told besides.
    """
    with ExitStack() as stack:
        node = own_node(KafkaNode, server_home, stack)
        await node.start()
        await create_topics(KafkaSettings(bootstrap=node.bootstrap))
        urls = [await databases.create() for _ in range(2)]
        signer = generate_key_pair()
        engine = {
            "CLM_DATABASE_URL": urls[1],
            "CLM_KAFKA_BOOTSTRAP": node.bootstrap,
            "CLM_TOKEN_KEYS": jwks([signer.public]),
            **(told or {}),
        }
        async with (
            ingest(node.bootstrap, urls[0], signer=signer, environment=environment) as front,
            service("clm_stage_engine", engine) as behind,
        ):
            await front.until_ready()
            yield Pipeline(front, behind, node.bootstrap, engine)
        for url in urls:
            await databases.drop(url)
