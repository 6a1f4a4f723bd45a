"""The stage-engine with everything on, against Quix Streams and a textbook service.

    python -m benchmarks.bench_engine_rivals [EVENTS] [PEOPLE] [ROUNDS]

All three read the same touchpoints from the same Apache Kafka, one process each, in turn, and all
must come to as many stage changes. Ours has history, repeats, identities, deadlines, river and
public changes on; Quix Streams keeps the state only, the textbook a row per touchpoint, customer
and change. The clock runs from a tenth of the way (started, and warm) to the end, which for ours is
when the last fact stands on the river; the textbook stops at `TEXTBOOK` touchpoints, or it would
take all day.
Targets: at least 0.7 of Quix Streams in wall time, at least 60 times the textbook.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import asyncpg
import httpx
import psutil
import structlog
import uvloop
from msgspec import Struct

from benchmarks.bench_worker import PEOPLE, clickstream
from benchmarks.rivals_of_engine import advance
from benchmarks.support import Servers, servers, verdict
from clm_common.bus.kafka import GroupProducer, KafkaSettings, PartitionReader
from clm_common.bus.kafka.admin import create_topics
from clm_common.contracts.topics import ALL, PARTITIONS, Topic
from clm_common.runtime.tokens import generate_key_pair, jwks
from clm_common.store.migrations import migrate
from clm_stage_engine.store import SCHEMA
from tests.support.forking import execute
from tests.support.processes import service

EVENTS: Final = 200_000
TEXTBOOK: Final = 1_000
ROUNDS: Final = 3
TARGETS: Final = {"quix": 0.7, "textbook": 60.0}
ROOT: Final = Path(__file__).parents[1]
CHANGES: Final = Topic("rival.stage-changes", PARTITIONS, -1, "")

FACTS: Final = "SELECT sum(next_seq - 1) FROM stage_engine.consumer_partition"
FOLDED: Final = "SELECT coalesce(sum(next_offset), 0) FROM stage_engine.consumer_partition"


class Rate(Struct, frozen=True):
    """Events per second of the clock, and of the CPU of the processes."""

    wall: float
    cpu: float


class Watch:
    """Takes the time from a tenth of the way to the end."""

    def __init__(self, count: int, *pids: int) -> None:
        self._processes, self._count = [psutil.Process(it) for it in pids], count
        self._begin: tuple[int, float, float] | None = None
        self._rate: Rate | None = None

    @property
    def result(self) -> Rate:
        """The rate, once the end was seen."""
        if self._rate is None:
            raise SystemExit("It ended before it was through")
        return self._rate

    def see(self, done: int) -> bool:
        """Note how far it is; tells whether that is the end."""
        now = time.perf_counter()
        cpu = sum(sum(it.cpu_times()[:2]) for it in self._processes)
        if self._begin is None and done >= self._count / 10:
            self._begin = done, now, cpu
        if self._begin is None or done < self._count:
            return False
        first, then, before = self._begin
        self._rate = Rate((done - first) / (now - then), (done - first) / (cpu - before))
        return True


def environment() -> str:
    """Give a Python that has the rivals; they are installed on first use."""
    home = ROOT / ".venv" / "rivals"
    python, lock = home / "bin" / "python", ROOT / "requirements-rivals.lock"
    mark = home / "installed.lock"
    if not mark.exists() or mark.read_bytes() != lock.read_bytes():
        print("Installing requirements-rivals.lock …", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        install = ["-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock)]
        subprocess.run([str(python), *install], check=True)
        shutil.copy(lock, mark)
    return str(python)


async def rival(kind: str, python: str, variables: Mapping[str, str], count: int) -> Rate:
    """Run one of them over the topic."""
    directory = tempfile.mkdtemp(prefix="clm-rival-")
    process = await asyncio.create_subprocess_exec(
        python,
        str(ROOT / "benchmarks" / "rivals_of_engine.py"),
        kind,
        directory,
        env=os.environ | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    told = cast("asyncio.StreamReader", process.stdout)  # it is a pipe
    watch = Watch(count, process.pid)
    try:
        async with asyncio.timeout(600):
            async for line in told:
                if line.strip().isdigit() and watch.see(int(line)):
                    break
    finally:
        await _stop(process)
        shutil.rmtree(directory, ignore_errors=True)
    return watch.result


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Let it stop in good order, and flush; FastStream does not always come to an end."""
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
    try:
        async with asyncio.timeout(10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


async def ours(around: Servers, count: int) -> tuple[Rate, int]:
    """Run an engine as a user would start it; give its rate and how many stages it changed."""
    url = await around.database()
    await migrate(url, package="clm_stage_engine", schema=SCHEMA)
    variables = {
        "CLM_DATABASE_URL": url,
        "CLM_KAFKA_BOOTSTRAP": around.kafka,
        "CLM_TOKEN_KEYS": jwks([generate_key_pair().public]),
    }
    db = await asyncpg.connect(url)
    try:
        async with (
            service("clm_stage_engine", variables, start=execute) as engine,
            httpx.AsyncClient() as http,
        ):
            watch = Watch(count, engine.pid)
            while (done := int(await db.fetchval(FOLDED))) < count:
                watch.see(done)
                await asyncio.sleep(0.02)
            facts = int(await db.fetchval(FACTS))
            while (await published(http, engine.url)) < facts:  # noqa: ASYNC110 - another process's doing
                await asyncio.sleep(0.02)
            watch.see(count)
        changes = int(await db.fetchval("SELECT count(*) FROM stage_engine.stage_change"))
    finally:
        await db.close()
    return watch.result, changes


async def published(http: httpx.AsyncClient, url: str) -> int:
    """Ask an engine how many facts it has published."""
    page = (await http.get(f"{url}/metrics")).text
    found = re.findall(r"^clm_relay_facts_total (\S+)", page, re.MULTILINE)
    return int(float(found[0]))


async def one_round(count: int, people: int, python: str) -> Mapping[str, Rate]:
    """Let all three read one topic, on servers of this round."""
    async with servers() as around:
        kafka = KafkaSettings(bootstrap=around.kafka)
        await create_topics(kafka, [*ALL, CHANGES])
        async with GroupProducer(kafka) as producer:
            stream = clickstream(count, people)
            for start in range(0, count, 5_000):
                await producer.publish(stream[start : start + 5_000])
        variables = {"CLM_KAFKA_BOOTSTRAP": around.kafka, "DATABASE_URL": await around.database()}
        truth, customers = 0, defaultdict[str, dict[str, Any]](dict)
        for message in stream:
            touch = json.loads(message.value or b"")
            truth += len(advance(customers[touch["userId"]], touch))
        async with PartitionReader(kafka) as reader:
            quix = await rival("quix", python, variables, count)
            theirs = sum((await reader.end_offsets(CHANGES.name)).values())
        engine, changes = await ours(around, count)
        if not truth == theirs == changes:
            raise SystemExit(f"{truth} changes of stage: Quix Streams {theirs}, ours {changes}")
        textbook = await rival("textbook", python, variables, min(count, TEXTBOOK))
        return {"stage-engine": engine, "quix": quix, "textbook": textbook}


async def main(count: int, people: int, rounds: int) -> int:
    """Print each round, and the ratios of medians; gives 1 if a target is missed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    python = environment()
    found: list[Mapping[str, Rate]] = []
    for _ in range(rounds):
        found.append(await one_round(count, people, python))
        print(
            "   ".join(f"{it}: {r.wall:,.0f}/s, {r.cpu:,.0f}/CPU-s" for it, r in found[-1].items()),
            flush=True,
        )
    wall = {it: statistics.median(each[it].wall for each in found) for it in found[0]}
    cpu = {it: statistics.median(each[it].cpu for each in found) for it in found[0]}
    met = []
    for name, target in TARGETS.items():
        per_cpu = cpu["stage-engine"] / cpu[name]
        print(f"stage-engine with everything on : {name} = {per_cpu:.2f} per CPU-second")
        met.append(verdict(f"times {name}, wall time", wall["stage-engine"] / wall[name], target))
    return 0 if all(met) else 1


if __name__ == "__main__":
    given = (*map(int, sys.argv[1:]), *(EVENTS, PEOPLE, ROUNDS)[len(sys.argv) - 1 :])
    sys.exit(uvloop.run(main(*given)))
