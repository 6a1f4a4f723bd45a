"""Deadlines of very many people falling due in one second, and what live traffic feels of it.

    python -m benchmarks.bench_deadlines [PEOPLE]

One engine process, as a user would start it. Everybody has bought once, 120 days before one and
the same instant: then all lapse (`reach`). Some probes lapse alone beforehand, while the million
waits. Visitors who are new keep coming all the while; each enters the start stage, and what counts
is how long after its sending the record stands on `clm.stage-changes`.
Targets: a probe is noticed within 2 s of its time; at least 20,000 lapses a second once they are
due; 99 of 100 visitors within 1 s meanwhile. The last line gives live traffic's p99 while all
lapse against its p99 while they wait.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import asyncpg
import psutil
import uvloop
from msgspec import Struct

from benchmarks.support import servers
from clm_common.bus.kafka import GroupProducer, KafkaSettings, PartitionReader
from clm_common.bus.kafka.admin import create_topics
from clm_common.bus.ports import Record
from clm_common.clock import SystemClock
from clm_common.contracts import journey
from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.topics import STAGE_CHANGES
from clm_common.instant import DAY, SECOND, from_rfc3339
from clm_common.runtime.tokens import generate_key_pair, jwks
from tests.support.forking import execute
from tests.support.processes import service
from tests.support.touchpoints import touchpoint

PEOPLE: Final = 1_000_000
PROBES: Final = 40
RATE: Final = 200
"""Visitors a second."""

SILENCE: Final = 120 * DAY
CALM: Final = 30
"""Seconds before all fall due in which the probes do, and visitors come already."""

_FOLDED_PER_SECOND: Final = 4_000
"""What is assumed, carefully, to choose an instant that everybody is folded before."""

_CHUNK: Final = 5_000


class Seen(Struct, frozen=True):
    """A stage change as it was published.

    Attributes:
        change: the message.
        published: the record's stamp, µs.
    """

    change: StageChange
    published: int


async def buy(producer: GroupProducer, people: int, at: int) -> None:
    """Let everybody buy at one instant (µs), and the probes before, half a second apart."""
    for start in range(0, people, _CHUNK):
        numbers = range(start, min(start + _CHUNK, people))
        await producer.publish(
            [touchpoint(at, user=f"person-{it}", event="Order Completed") for it in numbers]
        )
    early = at - CALM * SECOND
    await producer.publish(
        [
            touchpoint(early + it * SECOND // 2, user=f"probe-{it}", event="Order Completed")
            for it in range(PROBES)
        ]
    )


async def visit(producer: GroupProducer, stop: asyncio.Event) -> None:
    """Let new visitors come at `RATE` until told to stop; each event's time is its sending."""
    began, sent = time.monotonic(), 0
    while not stop.is_set():
        due = int((time.monotonic() - began) * RATE)
        now = SystemClock().now()
        fresh = [
            touchpoint(now, anonymous=f"visitor-{it}", event="Product Viewed")
            for it in range(sent, due)
        ]
        if fresh:
            await producer.publish(fresh)
        sent = due
        await asyncio.sleep(0.02)


async def listen(kafka: KafkaSettings, seen: list[Seen], stop: asyncio.Event) -> None:
    """Collect what is published, whatever its stage, until told to stop."""
    async with PartitionReader(kafka) as reader:
        ends = await reader.end_offsets(STAGE_CHANGES.name)
        reader.assign({(STAGE_CHANGES.name, each): 0 for each in ends})
        while not stop.is_set():
            found = await reader.read(limit=10_000, wait=0.2)
            seen += [_seen(record) for records in found.values() for record in records]


def _seen(record: Record) -> Seen:
    message = journey.decode(record.value or b"")
    if not isinstance(message, StageChange):
        raise TypeError(f"no stage change at {record.partition}:{record.offset}")
    return Seen(message, record.timestamp * 1_000)


async def waiting(db: asyncpg.Connection) -> int:
    """Count the deadlines that wait."""
    row = await db.fetchrow("SELECT count(*) AS n FROM stage_engine.profile WHERE wake_at > now()")
    return int(row["n"]) if row else 0


async def until_due(db: asyncpg.Connection, people: int, due: int) -> None:
    """Wait until everybody's deadline is set, showing how far it is.

    Raises:
        SystemExit: they fall due before; the machine is too slow for so many.
    """
    while (set_by_now := await waiting(db)) < people:
        sys.stderr.write(f"\r{set_by_now:,} of {people:,} deadlines set ")
        if SystemClock().now() > due - (CALM + 2) * SECOND:
            raise SystemExit(f"only {set_by_now:,} deadlines were set in time; take fewer people")
        await asyncio.sleep(2)
    sys.stderr.write("\n")


def report(seen: Sequence[Seen], people: int, due: int, busy: float) -> int:
    """Print what was measured; give 1 if a target is missed.

    Args:
        seen: what was published.
        people: how many lapsed at once.
        due: when, µs.
        busy: CPU-seconds of the engine from then on.
    """
    lapses = [it for it in seen if it.change.move == "lapsed"]
    probes = [_late(it) for it in lapses if (it.change.user_id or "").startswith("probe-")]
    mass = [it for it in lapses if (it.change.user_id or "").startswith("person-")]
    if len(probes) != PROBES or len({it.change.id for it in mass}) != people:
        raise SystemExit(f"{len(probes)} probes and {len(mass)} people lapsed")
    drained = max(it.published for it in mass)
    rate = people / ((drained - due) / SECOND)
    live = [it for it in seen if it.change.move == "start" and it.change.user_id is None]
    calm = [_late(it) for it in live if due - CALM * SECOND < _at(it) < due - SECOND]
    storm = [_late(it) for it in live if due <= _at(it) < drained]
    noticed = max(probes)
    lines = (
        (noticed <= 2, f"silence noticed after {noticed:.2f} s at most, {people:,} waiting"),
        (rate >= 20_000, f"{people:,} lapses at once: {rate:,.0f}/s, {people / busy:,.0f}/CPU-s"),
        (_p99(storm) < 1, f"live meanwhile: {_spread(storm)}; while they wait: {_spread(calm)}"),
    )
    for met, line in lines:
        sys.stdout.write(f"{'met ' if met else 'MISS'} {line}\n")
    sys.stdout.write(
        f"live p99 while all lapse : while all wait = {_p99(storm) / _p99(calm):.1f}\n"
    )
    return 0 if all(met for met, _ in lines) else 1


def _at(seen: Seen) -> int:
    return from_rfc3339(seen.change.at)


def _late(seen: Seen) -> float:
    """Give the seconds from when it happened to its record's stamp."""
    return (seen.published - _at(seen)) / SECOND


def _p99(delays: Sequence[float]) -> float:
    return statistics.quantiles(delays, n=100)[98]


def _spread(delays: Sequence[float]) -> str:
    return f"p50 {statistics.median(delays):.3f} s, p99 {_p99(delays):.3f} s of {len(delays):,}"


async def main(people: int) -> int:
    """Set the deadlines, let them fall due, print; gives 1 if a target is missed."""
    async with servers() as around:
        kafka = KafkaSettings(bootstrap=around.kafka)
        await create_topics(kafka)
        url = await around.database()
        environment = {
            "CLM_DATABASE_URL": url,
            "CLM_KAFKA_BOOTSTRAP": around.kafka,
            "CLM_TOKEN_KEYS": jwks([generate_key_pair().public]),
        }
        lead = people // _FOLDED_PER_SECOND + 2 * CALM + 30
        due = (SystemClock().now() // SECOND + lead) * SECOND
        stop = asyncio.Event()
        seen: list[Seen] = []
        async with (
            service("clm_stage_engine", environment, start=execute) as engine,
            GroupProducer(kafka) as producer,
        ):
            process = psutil.Process(engine.pid)
            db = await asyncpg.connect(url)
            listening = asyncio.create_task(listen(kafka, seen, stop))
            await buy(producer, people, due - SILENCE)
            await until_due(db, people + PROBES, due)
            visiting = asyncio.create_task(visit(producer, stop))
            await asyncio.sleep((due - SystemClock().now()) / SECOND)
            idle = _busy(process)
            await _lapsed(seen, people + PROBES, due)
            busy = _busy(process) - idle
            stop.set()
            await asyncio.gather(listening, visiting)
            with suppress(OSError):
                await db.close()
        return report(seen, people, due, busy)


def _busy(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


async def _lapsed(seen: Sequence[Seen], count: int, due: int) -> None:
    """Wait until so many have lapsed, at most ten minutes after all are due."""
    done = found = 0
    while found < count:
        if SystemClock().now() > due + 600 * SECOND:
            raise SystemExit(f"{found:,} of {count:,} lapsed within ten minutes")
        await asyncio.sleep(0.5)
        fresh, done = seen[done:], len(seen)
        found += sum(it.change.move == "lapsed" for it in fresh)


if __name__ == "__main__":
    sys.exit(uvloop.run(main(int(sys.argv[1]) if sys.argv[1:] else PEOPLE)))
