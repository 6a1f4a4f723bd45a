"""A service as a real process, killed like a machine would."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import httpx

from tests.support.forking import Running, Start, fork

_OWNING: Final = re.compile(r"^clm_partition_owned\{.*\} [1-9]", re.MULTILINE)


class ServiceProcess:
    """A running service, and where it listens."""

    def __init__(self, process: Running, url: str) -> None:
        self._process = process
        self.url = url

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.returncode

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """Kill -9."""
        self._process.kill()


@asynccontextmanager
async def service(
    package: str, environment: Mapping[str, str], *, start: Start = fork
) -> AsyncGenerator[ServiceProcess]:
    """Run a service with only these CLM_* variables, from when it listens on.

    On leaving it is killed.

    What it logged goes to standard error at the end, where pytest shows it if the test fails.
    """
    process = await start(package, {"CLM_HTTP_PORT": "0", **environment})
    assert process.stdout is not None
    lines: list[str] = []
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(follow(process.stdout, lines, port))
    try:
        async with asyncio.timeout(60):
            url = f"http://127.0.0.1:{await port}"
        yield ServiceProcess(process, url)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading
        sys.stderr.write("".join(lines))


async def until_owning(url: str) -> None:
    """Wait until a service has partitions: one that is killed before has nothing to lose."""
    async with httpx.AsyncClient(base_url=url, timeout=30) as http, asyncio.timeout(60):
        while not _OWNING.search((await http.get("/metrics")).text):  # noqa: ASYNC110 - it is polled
            await asyncio.sleep(0.05)


async def follow(stream: asyncio.StreamReader, lines: list[str], port: asyncio.Future[int]) -> None:
    """Collect what a service logs, and tell the port it listens on."""
    async for raw in stream:
        lines.append(raw.decode())
        line = json.loads(raw)
        if line["event"] == "service.listening" and not port.done():
            port.set_result(line["port"])
    if not port.done():
        port.set_exception(RuntimeError("the service ended before it listened"))
