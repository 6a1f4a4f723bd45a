"""An engine under steady load for long: rates, memory, backlog, and whether the totals are right.

    python -m benchmarks.bench_engine_soak [SECONDS] [RATE]

Ten minutes by default, at 4,000 touchpoints a second: browsing of 20,000 people, visitors who sign
up, one in twenty sent twice, one in twenty late. Every tenth of the time a line is printed.
Targets: memory at the end at most 1.3 times that after a fifth of the time; never more than ten
seconds' touchpoints waiting; at the end everything is folded, counted once, and published.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import time
from collections.abc import Sequence
from typing import Final

import structlog
import uvloop
from msgspec import Struct

from benchmarks.bench_worker import EVENTS, PEOPLE
from benchmarks.engines import WITHIN, Engines, engines
from benchmarks.support import servers, verdict
from clm_common.bus.kafka import GroupProducer, PartitionReader
from clm_common.bus.ports import Message
from clm_common.clock import SystemClock
from clm_common.contracts.topics import JOURNEY
from clm_common.instant import SECOND
from tests.support.touchpoints import touchpoint

LENGTH: Final = 600
RATE: Final = 4_000
GROWTH: Final = 1.3
BEHIND: Final = 10
"""Seconds of touchpoints that may wait."""

_COUNTED: Final = "SELECT count(*) FROM stage_engine.history"
_REMEMBERED: Final = "SELECT coalesce(sum(touchpoints), 0) FROM stage_engine.profile"
_FACTS: Final = "SELECT coalesce(sum(next_seq - 1), 0) FROM stage_engine.consumer_partition"


class Look(Struct, frozen=True):
    """How it was at one moment: MB held, touchpoints that waited, touchpoints folded."""

    memory: float
    waiting: int
    folded: int


class Shop:
    """Makes touchpoints as people's devices would send them.

    Attributes:
        sent: how many records there are.
        unique: how many touchpoints they are.
    """

    def __init__(self) -> None:
        self.sent = self.unique = 0
        self._chance = random.Random(1)

    def some(self, count: int) -> list[Message]:
        """Make the next ones."""
        found: list[Message] = []
        now, chance = SystemClock().now(), self._chance
        for number in range(count):
            name = f"soak-{self.unique}"
            at = now + number - (chance.randrange(60) * SECOND if chance.random() < 0.05 else 0)
            person = chance.randrange(PEOPLE)
            if chance.random() < 0.02:
                message = touchpoint(
                    at,
                    user=f"person-{person}",
                    anonymous=f"visitor-{person}",
                    kind="identify",
                    message_id=name,
                )
            elif chance.random() < 0.1:
                message = touchpoint(
                    at, anonymous=f"visitor-{person}", kind="page", message_id=name
                )
            else:
                event = "Order Completed" if chance.random() < 0.03 else chance.choice(EVENTS)
                message = touchpoint(
                    at, user=f"person-{person}", event=event, message_id=name, url="x" * 150
                )
            self.unique += 1
            found += [message, message] if chance.random() < 0.05 else [message]
        self.sent += len(found)
        return found


async def load(running: Engines, shop: Shop, seconds: float, rate: int) -> list[Look]:
    """Send at a rate for some seconds, and look at the engine every tenth of them."""
    looks: list[Look] = []
    began = time.monotonic()
    async with GroupProducer(running.kafka) as producer:
        while (passed := time.monotonic() - began) < seconds:
            if (due := int(passed * rate) - shop.unique) > 0:
                await producer.publish(shop.some(min(due, 5_000)))
            if passed >= (len(looks) + 1) * seconds / 10:
                looks.append(await look(running, shop, looks, seconds / 10))
            await asyncio.sleep(0.02)
        looks.append(await look(running, shop, looks, seconds / 10))
    return looks


async def look(running: Engines, shop: Shop, before: Sequence[Look], seconds: float) -> Look:
    """See how it is, and print it."""
    running.alive()
    folded = await running.folded()
    found = Look(running.memory, shop.sent - folded, folded)
    fresh = folded - (before[-1].folded if before else 0)
    print(
        f"{fresh / seconds:8,.0f}/s folded, {found.waiting:6,} waiting, {found.memory:5.0f} MB",
        flush=True,
    )
    return found


async def through(running: Engines, sent: int) -> None:
    """Wait until all is folded and published."""
    async with asyncio.timeout(WITHIN):
        while await running.folded() < sent or await running.pending() > 0:
            running.alive()
            await asyncio.sleep(0.1)


async def on_the_river(running: Engines) -> int:
    """Count the facts that a subscriber reads."""
    count = 0
    async with PartitionReader(running.kafka) as reader:
        reader.assign({(JOURNEY.name, each): 0 for each in range(JOURNEY.partitions)})
        while found := await reader.read(limit=50_000, wait=2.0):
            count += sum(len(records) for records in found.values())
    return count


async def main(seconds: float, rate: int) -> int:
    """Run it and print; gives 1 if a target is missed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    shop = Shop()
    async with servers() as around, engines(around) as running:
        looks = await load(running, shop, seconds, rate)
        await through(running, shop.sent)
        counted, remembered = await running.count(_COUNTED), await running.count(_REMEMBERED)
        facts, read = await running.count(_FACTS), await on_the_river(running)
    print(
        f"{shop.sent:,} records of {shop.unique:,} touchpoints: {counted:,} counted, "
        f"{remembered:,} of somebody; {facts:,} facts, {read:,} on the river"
    )
    waited = max(it.waiting for it in looks) / rate
    met = (
        verdict("memory at the end : early", looks[-1].memory / looks[1].memory, GROWTH, most=True),
        verdict("seconds of touchpoints waiting", waited, BEHIND, most=True),
        verdict("touchpoints counted : sent", counted / shop.unique, 1.0),
        verdict("touchpoints counted : sent", counted / shop.unique, 1.0, most=True),
    )
    if not (remembered == counted and read == facts):
        print("MISS the totals are not equal")
        return 1
    return 0 if all(met) else 1


if __name__ == "__main__":
    given = (*map(int, sys.argv[1:]), *(LENGTH, RATE)[len(sys.argv) - 1 :])
    sys.exit(uvloop.run(main(*given)))
