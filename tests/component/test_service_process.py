"""A service's process, as its supervisor and its probes see it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.support.commands import program
from tests.support.forking import Forked, fork
from tests.support.servers import PostgresNode

SMALL = "tests.support.small_service"
NOWHERE = "postgresql://clm:sesame@127.0.0.1:1/clm"


@dataclass
class Running:
    """A process that listens."""

    process: Forked
    http: httpx.AsyncClient

    async def ready(self) -> dict[str, Any]:  # Any: JSON
        found: dict[str, Any] = (await self.http.get("/ready")).json()
        return found

    async def until_ready(self, *, is_ready: bool = True) -> None:
        async with asyncio.timeout(30):
            while (await self.ready())["ready"] is not is_ready:  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.1)

    async def end(self) -> int:
        """Send SIGTERM and give the exit code."""
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), 30)


def told(url: str, variables: Mapping[str, str]) -> dict[str, str]:
    """Give what a process is told."""
    own = {"CLM_DATABASE_URL": url, "CLM_KAFKA_BOOTSTRAP": "127.0.0.1:1", "CLM_HTTP_PORT": "0"}
    return {**own, **variables}


async def port_of(process: Forked) -> int:
    """Read the port out of the log."""
    async with asyncio.timeout(30):
        while line := await process.stdout.readline():
            if '"service.listening"' in line.decode():
                port: int = json.loads(line)["port"]
                return port
    raise AssertionError("it ended before it listened")


Start = Callable[..., Coroutine[Any, Any, Running]]


@pytest.fixture
async def start() -> AsyncGenerator[Start]:
    """Start processes that do not outlive the test."""
    async with AsyncExitStack() as stack:

        async def started(url: str, **variables: str) -> Running:
            process = await fork(SMALL, told(url, variables))
            stack.push_async_callback(reap, process)
            base = f"http://127.0.0.1:{await port_of(process)}"
            http = await stack.enter_async_context(httpx.AsyncClient(base_url=base))
            return Running(process, http)

        yield started


async def reap(process: Forked) -> None:
    if process.returncode is None:
        process.kill()
    await process.stdout.read()
    await process.wait()


async def outcome(url: str, **variables: str) -> tuple[int, str]:
    """Run a process that ends by itself, and give its exit code and what it wrote to stderr."""
    done = await program(SMALL, **told(url, variables))
    return done.code, done.told


async def test_it_gets_ready_and_ends_in_good_order(start: Start, database_url: str) -> None:
    service = await start(database_url)
    await service.until_ready()

    code = await service.end()

    assert code == 0
    assert b"resources closed" in await service.process.stdout.read()


async def test_without_its_server_it_is_alive_but_not_ready(start: Start) -> None:
    service = await start(NOWHERE)

    health, ready = await service.http.get("/health"), await service.http.get("/ready")

    assert (health.status_code, health.json()["alive"]) == (200, True)
    assert (ready.status_code, ready.json()["state"]) == (503, "starting")
    assert await service.end() == 0


async def test_it_recovers_by_itself_when_its_server_comes_and_goes(
    start: Start, postgres_node: Callable[[], PostgresNode]
) -> None:
    node = postgres_node()
    await node.start()
    service = await start(node.server.admin_url)
    await service.until_ready()

    node.kill()
    await service.until_ready(is_ready=False)
    assert (await service.http.get("/health")).status_code == 200
    await node.start()

    await service.until_ready()


async def test_a_request_in_flight_is_answered_while_it_ends(
    start: Start, database_url: str
) -> None:
    service = await start(database_url)
    await service.until_ready()
    answer = asyncio.create_task(service.http.get("/slow"))
    await asyncio.sleep(0.3)

    code = await service.end()

    assert (await answer).json() == "done"
    assert code == 0


async def test_while_it_drains_it_says_so_and_still_answers(
    start: Start, database_url: str
) -> None:
    service = await start(database_url, CLM_DRAIN_SECONDS="2")
    await service.until_ready()

    service.process.terminate()
    await asyncio.sleep(0.5)

    assert (await service.ready())["state"] == "stopping"
    assert (await service.http.get("/slow")).status_code == 200
    assert await service.process.wait() == 0


@pytest.mark.parametrize("behaviour", ["die", "end"])
async def test_a_task_that_ends_unasked_ends_the_process(database_url: str, behaviour: str) -> None:
    code, _ = await outcome(database_url, SMALL_SERVICE=behaviour)

    assert code == 1


async def test_a_task_that_does_not_stop_is_cancelled_in_time(
    start: Start, database_url: str
) -> None:
    service = await start(database_url, SMALL_SERVICE="linger", CLM_STOP_SECONDS="1")
    await service.until_ready()

    async with asyncio.timeout(8):
        assert await service.end() == 0


async def test_probes_may_have_a_port_of_their_own(start: Start, database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    service = await start(database_url, CLM_OPS_PORT=str(port))

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as ops:
        answers = [await ops.get(path) for path in ("/health", "/metrics", "/slow")]

    assert [answer.status_code for answer in answers] == [200, 200, 404]
    assert (await service.http.get("/health")).status_code in {404, 503}


async def test_wrong_settings_end_it_at_once_with_the_variables_name() -> None:
    code, stderr = await outcome(NOWHERE, CLM_HTTP_PORT="abc")

    assert code == 78
    assert stderr.startswith("small: CLM_HTTP_PORT=abc: must be a whole number from 0 to 65535")


async def test_a_port_in_use_ends_it_with_the_fix() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, stderr = await outcome(NOWHERE, CLM_HTTP_PORT=str(taken.getsockname()[1]))

    assert code == 78
    assert "the port is in use" in stderr


async def test_a_definition_that_cannot_be_right_ends_it_with_file_and_line() -> None:
    code, stderr = await outcome(NOWHERE, SMALL_SERVICE="refuse")

    assert code == 78
    assert "reach.yaml:3: stage nowhere is unknown" in stderr


async def test_a_wrong_password_ends_it_with_the_variables_name(database_url: str) -> None:
    host = database_url.rpartition("@")[2]

    code, stderr = await outcome(f"postgresql://clm:sesame@{host}")

    assert code == 78
    assert "CLM_DATABASE_URL" in stderr
    assert "sesame" not in stderr
