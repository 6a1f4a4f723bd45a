"""A benchmark that is ended leaves no process behind."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Final

import psutil

from benchmarks.support import TERMINATED

ROOT: Final = Path(__file__).parents[2]

BENCH: Final = """
import asyncio, sys
from benchmarks.support import servers

async def main():
    async with servers() as running:
        child = await asyncio.create_subprocess_exec("sleep", "600")
        try:
            print(child.pid, running.postgres.pid, running.broker.pid, flush=True)
            await asyncio.sleep(600)
        finally:
            child.kill()
            await child.wait()

asyncio.run(main())
"""


async def test_sigterm_ends_a_benchmark_with_everything_that_it_started() -> None:
    bench = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BENCH, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert bench.stdout is not None
    try:
        async with asyncio.timeout(90):
            started = [int(it) for it in (await bench.stdout.readline()).split()]
            assert len(started) == 3

            bench.send_signal(signal.SIGTERM)
            assert await bench.wait() == TERMINATED
    finally:
        if bench.returncode is None:
            bench.kill()
            await bench.wait()

    assert [it for it in started if psutil.pid_exists(it)] == []
