"""Kafka and PostgreSQL in containers, for machines where a Docker daemon answers."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
from collections.abc import Awaitable, Callable, Generator

import docker
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer

from clm_local import kafka as local_kafka
from clm_local import postgres as local_postgres
from clm_local.ports import free_port
from tests.support.loops import finish

KAFKA_IMAGE = "apache/kafka:4.3.1"
POSTGRES_IMAGE = "postgres:18"
PASSWORD = "clm"
DEFAULT_HOST = "unix:///var/run/docker.sock"
START_TIMEOUT = 120.0


@functools.cache
def docker_answers() -> bool:
    """Whether there is a daemon that we may use."""
    if not _socket_is_open(os.environ.get("DOCKER_HOST", DEFAULT_HOST)):
        return False
    try:
        client = docker.from_env(timeout=5)
    except DockerException:
        return False
    with contextlib.closing(client):
        try:
            return bool(client.ping())
        except (DockerException, OSError):
            return False


def _socket_is_open(host: str) -> bool:
    """Try a socket file by ourselves: the client leaves it unclosed when nobody listens."""
    if not host.startswith("unix://"):
        return True
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(host.removeprefix("unix://"))
        except OSError:
            return False
    return True


@contextlib.contextmanager
def kafka() -> Generator[str]:
    """Run a broker and give its address; it must know the port that clients see beforehand."""
    port = free_port()
    container = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port)
    host = container.get_docker_client().host()
    settings: dict[str, str | int] = {
        **local_kafka.SETTINGS,
        "listeners": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "advertised.listeners": f"PLAINTEXT://{host}:{port}",
        "controller.quorum.voters": "1@localhost:9093",
    }
    for name, value in settings.items():
        container.with_env(f"KAFKA_{name.upper().replace('.', '_')}", str(value))
    with container:
        finish(_until(lambda: local_kafka.answers(port, host)))
        yield f"{host}:{port}"


@contextlib.contextmanager
def postgres() -> Generator[str]:
    """Run a database server and give the URL of its first database."""
    quick = [part for key, value in _quick() for part in ("-c", f"{key}={value}")]
    container = (
        DockerContainer(POSTGRES_IMAGE)
        .with_env("POSTGRES_USER", local_postgres.USER)
        .with_env("POSTGRES_PASSWORD", PASSWORD)
        .with_env("POSTGRES_DB", "postgres")
        .with_exposed_ports(5432)
        .with_command(["postgres", *quick])
    )
    with container:
        address = f"{container.get_container_host_ip()}:{container.get_exposed_port(5432)}"
        url = f"postgresql://{local_postgres.USER}:{PASSWORD}@{address}/postgres"
        finish(_until(lambda: local_postgres.answers(url)))
        yield url


def _quick() -> list[tuple[str, str]]:
    return list(local_postgres.FAST.items())


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(START_TIMEOUT):
        while not await holds():  # noqa: ASYNC110  (a server cannot set an Event)
            await asyncio.sleep(0.1)
