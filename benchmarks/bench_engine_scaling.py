"""What a second engine process brings, and what late events cost.

    python -m benchmarks.bench_engine_scaling [EVENTS] [PEOPLE] [ROUNDS]

The same touchpoints are folded by one process, by two, and by one that meets three in ten of them
after a later one of the same person; each run has servers of its own, and everything on. The clock
runs from a tenth of the way to the last fact published.
Targets: two processes fold 1.4 times as fast as one, at no more CPU an event (a twentieth is
noise); late events cost twice as much at most, in wall time and in CPU.
"""

from __future__ import annotations

import logging
import random
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import structlog
import uvloop

from benchmarks.bench_engine_rivals import Rate
from benchmarks.bench_worker import PEOPLE, clickstream
from benchmarks.engines import engines
from benchmarks.support import servers, verdict
from clm_common.bus.ports import Message

EVENTS: Final = 300_000
ROUNDS: Final = 3
LATE: Final = 0.3


def belated(messages: Sequence[Message], share: float = LATE) -> list[Message]:
    """Let a share of them come after the next one of the same person."""
    chance, found = random.Random(2), list(messages)
    places: defaultdict[bytes, list[int]] = defaultdict(list)
    for place, message in enumerate(messages):
        places[message.key or b""].append(place)
    swapped = share / (1 - share)  # of two that change places one is late
    for mine in places.values():
        at = 0
        while at + 1 < len(mine):
            this, following = mine[at], mine[at + 1]
            if chance.random() < swapped:
                found[this], found[following] = found[following], found[this]
                at += 1
            at += 1
    return found


def late(messages: Sequence[Message]) -> float:
    """Tell the share of them that come after a later one of the same person."""
    newest: dict[bytes, bytes] = {}
    count = 0
    for message in messages:
        key, time = message.key or b"", dict(message.headers)["ce_time"]
        count += time < newest.get(key, b"")
        newest[key] = max(time, newest.get(key, b""))
    return count / len(messages)


async def folded(messages: Sequence[Message], processes: int) -> Rate:
    """Fold touchpoints on servers of this run."""
    async with servers() as around, engines(around, processes) as running:
        return await running.fold(messages)


async def main(count: int, people: int, rounds: int) -> int:
    """Alternate the three, and print the ratios of medians; gives 1 if a target is missed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    stream = clickstream(count, people)
    disordered = belated(stream)
    print(f"{count:,} touchpoints of {people:,} people; {late(disordered):.2f} late where some are")
    found: defaultdict[str, list[Rate]] = defaultdict(list)
    for _ in range(rounds):
        for name, messages, processes in (
            ("one", stream, 1),
            ("two", stream, 2),
            ("late", disordered, 1),
        ):
            rate = await folded(messages, processes)
            found[name].append(rate)
            print(f"{name:5} {rate.wall:10,.0f}/s {rate.cpu:10,.0f}/CPU-s", flush=True)
    wall = {it: statistics.median(each.wall for each in rates) for it, rates in found.items()}
    cpu = {it: statistics.median(each.cpu for each in rates) for it, rates in found.items()}
    met = (
        verdict("two processes : one, events a second", wall["two"] / wall["one"], 1.4),
        verdict("two processes : one, events a CPU-second", cpu["two"] / cpu["one"], 0.95),
        verdict("cost with late events, time", wall["one"] / wall["late"], 2.0, most=True),
        verdict("cost with late events, CPU", cpu["one"] / cpu["late"], 2.0, most=True),
    )
    return 0 if all(met) else 1


if __name__ == "__main__":
    given = (*map(int, sys.argv[1:]), *(EVENTS, PEOPLE, ROUNDS)[len(sys.argv) - 1 :])
    sys.exit(uvloop.run(main(*given)))
