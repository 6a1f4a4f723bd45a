"""`python -m clm_stage_engine.republish --to TOPIC` copies the river out of the rows.

It reads the settings of stage-engine. Progress goes to standard error, the result to standard
output as one JSON object: `{"topic": …, "facts": …, "switch_over": {"clm.journey": {"0": …}}}`.
Interrupted, it is gone on with by `--resume`. It ends with 78 where waiting cannot help, with 75
where a server is away, with 130 when interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import msgspec
from msgspec import Struct

from clm_common.bus.kafka import KafkaSettings, PartitionReader, TransactionalPublisher
from clm_common.bus.kafka.admin import create_topics, partitions_of
from clm_common.bus.ports import Publisher
from clm_common.contracts import topics
from clm_common.contracts.topics import JOURNEY, PUBLISHED, TOUCHPOINTS, Topic
from clm_common.errors import OwnershipLost, SettingsError, Unavailable
from clm_common.runtime.errand import Errand
from clm_common.runtime.wiring import kafka_of
from clm_common.store.database import Database
from clm_common.store.migrations import check
from clm_stage_engine.copying import Lane, copy
from clm_stage_engine.outbox import Facts
from clm_stage_engine.sealing import SealingPublisher
from clm_stage_engine.settings import Settings
from clm_stage_engine.store import SCHEMA
from clm_stage_engine.store.keys import Keys, keys_of

_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,160}")
_EVERY: Final = 1.0  # seconds between two reports

_BEGUN: Final = """
    INSERT INTO river_copy (topic, sealed) VALUES ($1, $2)
    ON CONFLICT (topic) DO UPDATE SET sealed = river_copy.sealed AND excluded.sealed
"""

_TOTAL: Final = "SELECT coalesce(sum(next_seq - 1), 0) FROM consumer_partition WHERE topic = $1"


class Order(Struct, frozen=True):
    """What is to be copied.

    Attributes:
        to: the topic to copy to.
        workspace: whose facts; None for all.
        resume: whether an earlier run is gone on with.
    """

    to: str
    workspace: str | None
    resume: bool

    @property
    def topics(self) -> tuple[Topic, Topic]:
        """The copy, and where its position is kept: one for each choice of workspace."""
        kept = ".".join(filter(None, (self.to, self.workspace, "published")))
        return (
            Topic(self.to, JOURNEY.partitions, JOURNEY.retention_ms, "A copy of the river"),
            Topic(kept, PUBLISHED.partitions, -1, "How far the copy is", compacted=True),
        )


class Outcome(Struct, frozen=True):
    """What a copy came to.

    Attributes:
        topic: the copy.
        facts: how many were looked at, by all runs together.
        switch_over: where a subscriber goes on after the copy: per topic and partition, the offset.
    """

    topic: str
    facts: int
    switch_over: dict[str, dict[int, int]]


async def republish(settings: Settings, order: Order) -> Outcome:
    """Copy the river, from where an earlier run ended if that is wanted.

    Raises:
        SettingsError: the topic cannot take the copy, or the schema is not this release's.
        OwnershipLost: another run copies to the same topic now.
        Unavailable: PostgreSQL or Kafka is away.
    """
    kafka = kafka_of(settings)
    async with (
        Database.of(settings, SCHEMA) as database,
        PartitionReader(kafka) as reader,
    ):
        await check(database, package="clm_stage_engine")
        await _make_ready(kafka, reader, order)
        async with database.connection() as db:
            await db.execute(_BEGUN, order.to, settings.journey_sealed)
            progress = Progress(int(await db.fetchval(_TOTAL, TOUCHPOINTS.name)))
        keys = keys_of(settings.journey_keys, database) if settings.journey_sealed else None
        async with _lanes(database, kafka, order, keys) as lanes:
            ends = await copy(lanes, reader, progress)
            facts = sum(lane.copied for lane in lanes)
    return Outcome(order.to, facts, {JOURNEY.name: dict(sorted(ends.items()))})


async def _make_ready(kafka: KafkaSettings, reader: PartitionReader, order: Order) -> None:
    """See that the copy can be begun, or gone on with, and make the topics that are missing.

    A topic that is there keeps its settings: they are its owner's.
    """
    target, kept = order.topics
    found = await partitions_of(kafka, [target.name, kept.name])
    if target.name in found and found[target.name] != target.partitions:
        message = f"{target.name} has {found[target.name]} partitions, needs {target.partitions}"
        raise SettingsError("copy.partitions", message)
    if order.resume:
        if kept.name not in found:
            message = f"no copy to {target.name} was begun like this; leave out --resume"
            raise SettingsError("copy.none", message)
    elif kept.name in found:
        message = f"a copy to {target.name} was begun; add --resume, or name another topic"
        raise SettingsError("copy.begun", message)
    elif target.name in found and any((await reader.end_offsets(target.name)).values()):
        raise SettingsError("copy.taken", f"{target.name} is not empty; name another topic")
    if missing := [it for it in (target, kept) if it.name not in found]:
        await create_topics(kafka, missing)


@asynccontextmanager
async def _lanes(
    database: Database, kafka: KafkaSettings, order: Order, keys: Keys | None
) -> AsyncGenerator[list[Lane]]:
    """Open a lane for each partition whose facts are numbered; with keys, the copy is sealed."""
    target, kept = order.topics
    async with AsyncExitStack() as stack:
        lanes: list[Lane] = []
        for partition in range(TOUCHPOINTS.partitions):
            publisher: Publisher = TransactionalPublisher(
                kafka, service=kept.name, partition=partition, positions=kept.name
            )
            if keys is not None:
                publisher = SealingPublisher(publisher, keys, topic=target.name)
            facts = Facts(database, TOUCHPOINTS.name, partition)
            lane = Lane(facts, publisher, topic=target.name, workspace=order.workspace)
            stack.push_async_callback(publisher.close)
            lanes.append(lane)
        await asyncio.gather(*(lane.open() for lane in lanes))
        yield lanes


class Progress:
    """Says on standard error how far a copy is, once a second at most."""

    def __init__(self, total: int) -> None:
        """Begin; `total` facts are there now, and live traffic may add to them."""
        self._total = total
        self._first: tuple[float, int] | None = None
        self._last = 0.0

    def __call__(self, copied: int) -> None:
        """Take note that so many facts are copied."""
        now = time.monotonic()
        began, before = self._first = self._first or (now, copied)
        if now - self._last < _EVERY and copied < self._total:
            return
        self._last = now
        rate = (copied - before) / max(now - began, 0.001)
        total = max(self._total, copied)
        sys.stderr.write(f"{copied:,} of {total:,} facts, {rate:,.0f} a second\n")
        sys.stderr.flush()


def _order_of(arguments: Sequence[str] | None) -> Order:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m clm_stage_engine.republish")
    parser.add_argument("--to", required=True, metavar="TOPIC", help="the topic to copy to")
    parser.add_argument("--workspace", help="only this workspace's facts")
    parser.add_argument("--resume", action="store_true", help="go on with an earlier copy")
    given = parser.parse_args(arguments)
    for name in filter(None, (given.to, given.workspace)):
        if not _NAME.fullmatch(name) or name in {".", ".."}:
            parser.error(f"{name!r} holds what no topic's name may: use letters, digits, . _ -")
    if given.to in {topic.name for topic in topics.ALL}:
        parser.error(f"{given.to} is one of the system's own topics; name another one")
    return Order(given.to, given.workspace, given.resume)


def main(arguments: Sequence[str] | None = None) -> int:
    """Copy as the command line says; gives the exit code."""
    order = _order_of(arguments)
    passing = (Unavailable, OwnershipLost)
    errand = Errand("stage-engine", Settings, "; --resume goes on", passing=passing)
    return errand.run(lambda settings: republish(settings, order), _tell)


def _tell(outcome: Outcome) -> int:
    sys.stdout.write(msgspec.json.encode(outcome).decode() + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
