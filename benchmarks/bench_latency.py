"""From the 200 at ingest to the record on `clm.stage-changes`, at half of what the system carries.

    python -m benchmarks.bench_latency [SECONDS]

Ingest and one engine as a user would start them, on real servers. First as much as is answered is
sent for some seconds: how fast the engine is through with it is the peak. Then half of that keeps
coming, and new customers among it are watched: the clock starts when ingest has answered 200, and
stops when a read_committed subscriber of the public topic has the start of their lifecycle in hand.
Targets: p50 at most 60 ms, p99 at most 150 ms. The last line gives the p99 against that of an idle
system, measured in between.
"""

from __future__ import annotations

import asyncio
import logging
import re
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Final

import structlog
import uvloop

from benchmarks.bench_ingest import BATCH, CONNECTIONS, batches
from benchmarks.engines import WITHIN, Engines, engines
from benchmarks.load import MOMENT, Harvest, Order, send
from benchmarks.support import servers, verdict
from clm_common.bus.kafka import PartitionReader
from clm_common.contracts.topics import STAGE_CHANGES
from tests.support.forking import execute
from tests.support.ingest import IngestProcess, ingest

SECONDS: Final = 20.0
PROBES: Final = 25
"""New customers a second."""

P50: Final = 0.060
P99: Final = 0.150

_PROBE: Final = re.compile(rb'"(probe-\d+)"')


class Watch:
    """Sends new customers to ingest, and sees them arrive on the public topic.

    Attributes:
        answered: when ingest said 200, by customer, in seconds of the monotonic clock.
        arrived: when their stage change was read, likewise.
    """

    def __init__(self, shop: IngestProcess, key: str) -> None:
        self.answered: dict[str, float] = {}
        self.arrived: dict[str, float] = {}
        self._shop, self._key = shop, key

    async def listen(self, running: Engines) -> None:
        """Read the public topic until cancelled."""
        async with PartitionReader(running.kafka) as reader:
            ends = await reader.end_offsets(STAGE_CHANGES.name)
            reader.assign({(STAGE_CHANGES.name, each): end for each, end in ends.items()})
            while True:
                found = await reader.read(limit=10_000, wait=0.5)
                now = time.monotonic()
                for records in found.values():
                    for record in records:
                        for name in _PROBE.findall(record.value or b""):
                            self.arrived.setdefault(name.decode(), now)

    async def probe(self, seconds: float) -> list[float]:
        """Send new customers for some seconds; give what each took, sorted."""
        before = set(self.answered)
        end = time.monotonic() + seconds
        async with asyncio.TaskGroup() as tasks:
            while time.monotonic() < end:
                tasks.create_task(self._one(f"probe-{len(before) + len(self.answered)}{id(tasks)}"))
                await asyncio.sleep(1 / PROBES)
        mine = [it for it in self.answered if it not in before]
        async with asyncio.timeout(120):
            while any(it not in self.arrived for it in mine):  # noqa: ASYNC110 - another task's doing
                await asyncio.sleep(0.05)
        return sorted(max(0.0, self.arrived[it] - self.answered[it]) for it in mine)

    async def _one(self, name: str) -> None:
        body = {"userId": name, "event": "Product Viewed", "messageId": name}
        answer = await self._shop.http.post("/v1/track", json=body, auth=(self._key, ""))
        if not answer.is_success:
            raise RuntimeError(f"a probe was answered {answer.status_code}")
        self.answered[name] = time.monotonic()


def order_of(shop: IngestProcess, key: str, seconds: float, rate: float | None = None) -> Order:
    """Order batches for ingest, as fast as they are answered or at a rate (requests a second)."""
    port = int(shop.url.rpartition(":")[2])
    live = batches(key, time=MOMENT.decode()).requests
    return Order([port], live, CONNECTIONS, seconds, rate)


async def through(running: Engines, events: int) -> None:
    """Wait until so many touchpoints are folded and all facts published."""
    async with asyncio.timeout(WITHIN):
        while await running.folded() < events or await running.pending() > 0:
            running.alive()
            await asyncio.sleep(0.05)


async def peak(running: Engines, shop: IngestProcess, key: str, seconds: float) -> float:
    """Give how many events a second the two carry, ingest and engine at once."""
    before = await running.folded()
    began = time.monotonic()
    sent = events_of(await send(order_of(shop, key, seconds)))
    await through(running, before + sent)
    return sent / (time.monotonic() - began)


def events_of(harvest: Harvest) -> int:
    """Tell how many events were taken.

    Raises:
        RuntimeError: some were not.
    """
    if set(harvest.statuses) - {200}:
        raise RuntimeError(f"ingest answered {harvest.statuses}")
    return harvest.answers * BATCH


def told(took: Sequence[float]) -> tuple[float, float]:
    """Give the p50 and the p99, in seconds, of sorted times."""
    return statistics.median(took), took[len(took) * 99 // 100]


async def main(seconds: float) -> int:
    """Measure and print; gives 1 if a target is missed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    async with (
        servers() as around,
        engines(around) as running,
        ingest(around.kafka, await around.database(), start=execute) as shop,
    ):
        await shop.until_ready()
        key = await shop.create_source()
        watch = Watch(shop, key)
        listening = asyncio.create_task(watch.listen(running))
        try:
            await peak(running, shop, key, 2.0)  # everything is warm by then
            carried = await peak(running, shop, key, seconds / 2)
            print(f"both carry {carried:,.0f} events a second", flush=True)
            _, idle = told(await watch.probe(seconds / 4))
            rate = carried / 2 / BATCH
            load = asyncio.create_task(send(order_of(shop, key, seconds, rate)))
            await asyncio.sleep(2)
            p50, p99 = told(await watch.probe(max(1.0, seconds - 4)))
            events_of(await load)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
    met = (
        verdict(f"p50 at {carried / 2:,.0f} events a second, seconds", p50, P50, most=True),
        verdict(f"p99 at {carried / 2:,.0f} events a second, seconds", p99, P99, most=True),
    )
    print(f"p99 at half load : p99 of an idle system = {p99 / idle:.1f}")
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main(float(sys.argv[1]) if sys.argv[1:] else SECONDS)))
