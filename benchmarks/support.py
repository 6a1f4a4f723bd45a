"""The servers that benchmarks run against: an Apache Kafka and a PostgreSQL of their own."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from clm_local import paths
from tests.support.servers import KafkaNode, PostgresNode

TERMINATED: Final = 128 + signal.SIGTERM
"""The exit code of a benchmark that was ended by SIGTERM."""


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
async def ending_in_order() -> AsyncGenerator[None]:
    """Have SIGTERM end the block as ctrl-C does, so that whatever it started is ended, too.

    Raises:
        SystemExit: SIGTERM came.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    came = asyncio.Event()

    def end() -> None:
        came.set()
        if task is not None:
            task.cancel()

    loop.add_signal_handler(signal.SIGTERM, end)
    try:
        yield
    except asyncio.CancelledError:
        if came.is_set():
            raise SystemExit(TERMINATED) from None
        raise
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def verdict(what: str, value: float, target: float, *, most: bool = False) -> bool:
    """Print a figure beside its target, and tell whether that is met."""
    met = value <= target if most else value >= target
    word = "at most" if most else "at least"
    sys.stdout.write(f"{'met ' if met else 'MISS'} {what}: {value:.3f}, {word} {target}\n")
    sys.stdout.flush()
    return met


@asynccontextmanager
async def servers() -> AsyncGenerator[Servers]:
    """Start both in a directory of their own; both are gone at the end, also after SIGTERM."""
    async with ending_in_order(), _servers() as running:
        yield running


@asynccontextmanager
async def _servers() -> AsyncGenerator[Servers]:
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
