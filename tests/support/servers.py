"""The real Kafka and PostgreSQL that tests run against, and nodes of their own for chaos.

Which servers: `CLM_TEST_KAFKA` and `CLM_TEST_DATABASE_URL` if set; else containers if a Docker
daemon answers; else child processes of this run, which end with it even if it is killed. If none
of these can be had the test fails and says what to install; it is never skipped.
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
import psutil
import pytest

from clm_local import child, kafka, paths, postgres
from clm_local.child import Running
from clm_local.ports import HOST, free_ports
from tests.support import containers
from tests.support.loops import finish

MEMORY: Final = Path("/dev/shm")  # noqa: S108 - the directory inside has a name that nobody knows
ROOM: Final = 4 * 1024**3
"""Bytes that must be free there, as all workers of a run share it."""


@dataclass(frozen=True)
class DatabaseServer:
    """A server on which tests make databases of their own."""

    admin_url: str

    def url(self, database: str) -> str:
        """Give the URL of one database."""
        return urlunsplit(urlsplit(self.admin_url)._replace(path=f"/{quote(database)}"))

    async def create(self, template: str = "template0") -> str:
        """Make an empty database, or a copy of another, and give its URL."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        await self._execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        return self.url(name)

    @asynccontextmanager
    async def lend(self, template: str = "template0") -> AsyncGenerator[str]:
        """Make one for the length of a block, and give its URL."""
        url = await self.create(template)
        try:
            yield url
        finally:
            await self.drop(url)

    async def drop(self, url: str) -> None:
        """Drop a database, whoever is still connected."""
        await self._execute(f'DROP DATABASE IF EXISTS "{name_of(url)}" WITH (FORCE)')

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.admin_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()


def name_of(url: str) -> str:
    """Give the name of the database of a URL."""
    return urlsplit(url).path.removeprefix("/")


class Node:
    """A server of a test's own, which it may kill, freeze and start again on the same data."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._running: Running | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    async def describe(self) -> child.Child:
        """Make the directory ready and describe the process."""
        raise NotImplementedError

    async def start(self) -> float:
        """Start it on its directory and port, and give the seconds until it answered."""
        return await (await self.launch()).until_ready()

    async def launch(self) -> Running:
        """Start it without waiting: alone, a member of a cluster does not get ready."""
        self._running = child.start(await self.describe())
        return self._running

    async def stop(self) -> None:
        """Have it end in good order."""
        await self._process.stop()

    def kill(self) -> None:
        """Kill -9."""
        self._process.kill()

    def freeze(self) -> None:
        """Stop it in its tracks; connections stay open and nothing answers."""
        self._process.freeze()

    def thaw(self) -> None:
        """Let it go on."""
        self._process.thaw()

    def discard(self) -> None:
        """End it for good."""
        if self._running is not None and self._running.code is None:
            self._running.kill()

    @property
    def _process(self) -> Running:
        assert self._running is not None, "the node was not started"
        return self._running


class KafkaNode(Node):
    """A broker of a test's own."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.port, self.controller_port = free_ports(2)

    @property
    def bootstrap(self) -> str:
        return f"{HOST}:{self.port}"

    async def describe(self) -> child.Child:
        """Describe the process; the run's first node is formatted, the others are copies of it."""
        formatted, data = self.home.parent / "formatted", self.home / "kafka" / "data"
        if formatted.exists() and not data.exists():
            shutil.copytree(formatted, paths.directory(data.parent) / data.name)
        described = await self._prepare()
        if not formatted.exists():
            shutil.copytree(data, formatted)
        return described

    async def _prepare(self) -> child.Child:
        return await kafka.prepare(
            self.home / "kafka",
            kafka_software(),
            port=self.port,
            controller_port=self.controller_port,
            log_path=self.home / "kafka.log",
        )


class PostgresNode(Node):
    """A database server of a test's own; what it committed survives `kill`."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        (self.port,) = free_ports(1)
        self._server: postgres.Server | None = None

    @property
    def server(self) -> DatabaseServer:
        assert self._server is not None, "the node was not started"
        return DatabaseServer(self._server.url())

    async def describe(self) -> child.Child:
        process, self._server = await postgres.prepare(
            self.home / "postgres",
            postgres_programs(),
            port=self.port,
            log_path=self.home / "postgres.log",
            settings=postgres.FAST,
        )
        return process


AnyNode = TypeVar("AnyNode", bound=Node)


@functools.cache
def local_paths() -> paths.Paths:
    """Where the programs are that `make up` uses, too."""
    return paths.find().prepare()


@functools.cache
def kafka_software() -> kafka.Software:
    """Kafka's jars and a Java, fetched if need be."""
    return kafka.install(local_paths())


@functools.cache
def postgres_programs() -> postgres.Programs:
    """PostgreSQL's programs."""
    return postgres.find(local_paths())


@pytest.fixture(scope="session")
def server_home() -> Generator[Path]:
    """Give a directory for servers' data, reachable by PostgreSQL's user, gone at the end.

    It lies in memory where there is room: to make and drop a database takes 0.03 s of CPU there
    and 0.2 s on a disk. Servers are killed, never the machine, so nothing is lost by it.
    """
    _sweep()
    place = MEMORY if _has_room(MEMORY) else None
    home = Path(tempfile.mkdtemp(prefix=f"clm-test-{os.getpid()}-", dir=place))
    home.chmod(0o711)
    yield home
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka_bootstrap(request: pytest.FixtureRequest) -> Generator[str]:
    """Give the address of the broker that this run shares."""
    if given := os.environ.get("CLM_TEST_KAFKA"):
        yield given
    elif containers.docker_answers():
        with containers.kafka() as bootstrap:
            yield bootstrap
    else:
        node = KafkaNode(_own(request, "shared-kafka"))
        with ExitStack() as stack:
            stack.callback(node.discard)
            finish(node.start())
            yield node.bootstrap


@pytest.fixture(scope="session")
def database_server(request: pytest.FixtureRequest) -> Generator[DatabaseServer]:
    """Give the database server that this run shares."""
    if given := os.environ.get("CLM_TEST_DATABASE_URL"):
        yield DatabaseServer(given)
    elif containers.docker_answers():
        with containers.postgres() as url:
            yield DatabaseServer(url)
    else:
        node = PostgresNode(_own(request, "shared-postgres"))
        with ExitStack() as stack:
            stack.callback(node.discard)
            finish(node.start())
            yield node.server


@pytest.fixture
async def database_url(database_server: DatabaseServer) -> AsyncGenerator[str]:
    """Give the URL of an empty database of the test's own."""
    async with database_server.lend() as url:
        yield url


@pytest.fixture
def kafka_node(server_home: Path) -> Generator[Callable[[], KafkaNode]]:
    """Make brokers of the test's own, not started yet."""
    with ExitStack() as stack:
        yield lambda: own_node(KafkaNode, server_home, stack)


@pytest.fixture
def postgres_node(server_home: Path) -> Generator[Callable[[], PostgresNode]]:
    """Make database servers of the test's own, not started yet."""
    with ExitStack() as stack:
        yield lambda: own_node(PostgresNode, server_home, stack)


def own_node(kind: type[AnyNode], server_home: Path, stack: ExitStack) -> AnyNode:
    """Make a server in a directory of its own; both end with the stack."""
    home = paths.directory(server_home / uuid.uuid4().hex[:12], mode=0o711)
    node = kind(home)
    stack.callback(shutil.rmtree, home, ignore_errors=True)
    stack.callback(node.discard)
    return node


def _own(request: pytest.FixtureRequest, name: str) -> Path:
    """Give a directory of its own to a shared server."""
    server_home: Path = request.getfixturevalue("server_home")
    return paths.directory(server_home / name, mode=0o711)


def _has_room(place: Path) -> bool:
    """Whether servers of all workers may keep their data there."""
    return place.is_dir() and os.access(place, os.W_OK) and shutil.disk_usage(place).free > ROOM


def _sweep() -> None:
    """Remove what killed runs left behind."""
    places = Path(tempfile.gettempdir()), MEMORY
    for leftover in (each for place in places for each in place.glob("clm-test-*-*")):
        pid = leftover.name.split("-")[2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            shutil.rmtree(leftover, ignore_errors=True)
