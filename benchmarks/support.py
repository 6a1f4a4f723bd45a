"""The servers that benchmarks run against: an Apache Kafka and a PostgreSQL of their own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from clm_local import paths
from tests.support.servers import KafkaNode, PostgresNode


class Servers(Struct, frozen=True):
    """A running broker and database server."""

    broker: KafkaNode
    postgres: PostgresNode

    @property
    def kafka(self) -> str:
        """The broker's address."""
        return self.broker.bootstrap

    async def database(self) -> str:
        """Make an empty database and give its URL."""
        return await self.postgres.server.create()


def _home() -> Path:
    """Make a directory that PostgreSQL's own user may pass through."""
    home = Path(tempfile.mkdtemp(prefix="clm-bench-"))
    home.chmod(0o711)
    return home


@asynccontextmanager
async def servers() -> AsyncGenerator[Servers]:
    """Start both in a directory of their own; both are gone at the end."""
    home = _home()
    broker = KafkaNode(paths.directory(home / "broker", mode=0o711))
    postgres = PostgresNode(paths.directory(home / "database", mode=0o711))
    try:
        await broker.start()
        await postgres.start()
        yield Servers(broker, postgres)
    finally:
        broker.discard()
        postgres.discard()
        shutil.rmtree(home, ignore_errors=True)
