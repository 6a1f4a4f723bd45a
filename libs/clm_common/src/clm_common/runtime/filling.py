"""Fills a service's empty schema from a copy of the river, up to where the live one goes on.

`clm journey republish` makes the copy and prints where a subscriber switches over. The service
itself must not run meanwhile: it would begin with what the live river still holds. How far it is
stands in the rows, as a worker's position does, so that a run that was broken off goes on.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from clm_common.bus.kafka import PartitionReader
from clm_common.contracts.topics import JOURNEY, Topic
from clm_common.errors import SettingsError
from clm_common.runtime.errand import Errand
from clm_common.runtime.handler import OpenHandler
from clm_common.runtime.wiring import Plant, plant
from clm_common.settings import ServiceSettings
from clm_common.store.database import Connection
from clm_common.store.migrations import migrate

S = TypeVar("S", bound=ServiceSettings)
Opener = Callable[[S, Plant], OpenHandler]
"""Makes what opens the handlers of a service, for the time of filling."""

_LOOK: Final = 0.5  # seconds between two looks at how far it is
_TAIL: Final = 100  # records before a partition's end in which its last committed one is looked for

_REACHED: Final = "SELECT partition, next_offset FROM consumer_partition WHERE topic = $1"
_LEAVE: Final = """
    INSERT INTO consumer_partition (topic, partition, next_offset)
    SELECT $1, * FROM unnest($2::integer[], $3::bigint[])
"""


class Copy(Struct, frozen=True):
    """What `clm journey republish` prints: the copy, and where the live topics go on."""

    topic: str
    switch_over: dict[str, dict[int, int]]

    @property
    def ends(self) -> Mapping[int, int]:
        """Where the live river goes on, by partition."""
        return self.switch_over[JOURNEY.name]


async def fill(parts: Plant, opened: OpenHandler, copy: Copy) -> None:
    """Take in a copy to its end, then have the service go on with the live river.

    Raises:
        SettingsError: the service has begun with the live river, or the copy is not whole.
        Unavailable: PostgreSQL or Kafka is away; another run goes on.
    """
    await migrate(parts.settings.database_url, package=parts.package, schema=parts.database.schema)
    async with parts.database.connection() as db:
        if await _reached(db, JOURNEY.name):
            message = (
                f"schema {parts.database.schema} has read {JOURNEY.name}; give it an empty one"
            )
            raise SettingsError("fill.begun", message)
    topic = Topic(copy.topic, JOURNEY.partitions, JOURNEY.retention_ms, "A copy of the river")
    async with PartitionReader(parts.kafka) as reader:
        wanted = await _ends(reader, topic)
    stop = asyncio.Event()
    working = asyncio.create_task(parts.worker(topic, opened).run(stop))
    try:
        await _until(parts, topic, wanted, working)
    finally:
        stop.set()
        await working
    async with parts.database.transaction() as tx:
        await tx.execute("DELETE FROM consumer_partition WHERE topic = $1", copy.topic)
        await tx.execute(_LEAVE, JOURNEY.name, list(copy.ends), list(copy.ends.values()))


async def _reached(db: Connection, topic: str) -> dict[int, int]:
    return {row["partition"]: row["next_offset"] for row in await db.fetch(_REACHED, topic)}


async def _ends(reader: PartitionReader, topic: Topic) -> dict[int, int]:
    """Give, per partition, the offset after the last committed record; markers may follow it."""
    ends = await reader.end_offsets(topic.name)
    if set(ends) != set(range(topic.partitions)):
        message = f"{topic.name} has {len(ends)} partitions, a copy of the river {topic.partitions}"
        raise SettingsError("fill.copy", message)
    found: dict[int, int] = {}
    tail = _TAIL
    while behind := {it: end for it, end in ends.items() if end and it not in found}:
        reader.assign({(topic.name, it): max(0, end - tail) for it, end in behind.items()})
        while records := await reader.read(limit=5_000, wait=1.0):
            found |= {part: batch[-1].offset + 1 for (_, part), batch in records.items()}
        reader.assign({})
        found |= {it: 0 for it, end in behind.items() if it not in found and end <= tail}
        tail *= 10
    return found


async def _until(
    parts: Plant, topic: Topic, wanted: Mapping[int, int], working: asyncio.Task[None]
) -> None:
    while not working.done():
        async with parts.database.connection() as db:
            reached = await _reached(db, topic.name)
        behind = sum(max(0, end - reached.get(it, 0)) for it, end in wanted.items())
        sys.stderr.write(f"{behind:,} records to go\n")
        if not behind:
            return
        await asyncio.sleep(_LOOK)


def main(
    service: str, kind: type[S], where: tuple[str, str], opener: Opener[S], given: Sequence[str]
) -> int:
    """Fill a service as the command line says; gives the exit code.

    Args:
        service: its name.
        kind: its settings.
        where: its package and its schema.
        opener: makes what opens its handlers.
        given: the arguments.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {where[0]}.fill", description=__doc__)
    parser.add_argument("copy", type=Path, help="a file with what `clm journey republish` printed")
    path: Path = parser.parse_args(given).copy
    errand = Errand(service, kind, "; the same command goes on", level="warning")
    return errand.run(
        lambda settings: _run(settings, where, opener, _copy_of(path)), lambda _: _tell(service)
    )


def _tell(service: str) -> int:
    sys.stderr.write(f"filled; {service} goes on with {JOURNEY.name} when it is started\n")
    return 0


def _copy_of(path: Path) -> Copy:
    try:
        copy = msgspec.json.decode(path.read_bytes(), type=Copy)
        if set(copy.ends) == set(range(JOURNEY.partitions)):
            return copy
    except (OSError, KeyError, msgspec.DecodeError) as error:
        message = f"{path}: not what `clm journey republish` prints: {error}"
        raise SettingsError("fill.copy", message) from error
    message = f"{path}: it must say of each partition of {JOURNEY.name} where to switch over"
    raise SettingsError("fill.copy", message)


async def _run(settings: S, where: tuple[str, str], opener: Opener[S], copy: Copy) -> None:
    package, schema = where
    async with plant(settings, package=package, schema=schema) as parts:
        await fill(parts, opener(settings, parts), copy)
