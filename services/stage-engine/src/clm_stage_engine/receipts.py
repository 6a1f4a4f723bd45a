"""Completes receipts: up to which offset topics hold something of an erased person, and how long.

A record lives as long as its topic keeps records, and then until the segment it lies in is closed:
`retention.ms` and `segment.ms` after the erasure at the latest. Looked up once `erased` stands on
the river (a service has answered), or after a minute if nobody answers.
What was sealed with keys that are deleted is unreadable at once, see `clm_stage_engine.sealing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog

from clm_common.bus.kafka import KafkaSettings
from clm_common.bus.kafka.admin import settings_of
from clm_common.bus.ports import Reader
from clm_common.contracts.topics import (
    JOURNEY,
    JOURNEY_DLQ,
    STAGE_CHANGES,
    TOUCHPOINTS,
    TOUCHPOINTS_DLQ,
)
from clm_common.errors import SettingsError, Unavailable
from clm_common.runtime.retry import Backoff, pause
from clm_common.store.database import Database
from clm_stage_engine.queries.erasures import Topic
from clm_stage_engine.store import keys

log = structlog.get_logger()

EVERY: Final = 2.0
"""Seconds between two looks."""

BATCH: Final = 500

OWN: Final = tuple(
    it.name for it in (TOUCHPOINTS, TOUCHPOINTS_DLQ, JOURNEY, JOURNEY_DLQ, STAGE_CHANGES)
)

CLOCKS: Final = timedelta(minutes=1)
"""How far clocks may differ."""

_COPIES: Final = "SELECT topic, sealed FROM river_copy"

_UNTOLD: Final = """
    SELECT id, done_at FROM erasure
    WHERE topics IS NULL AND done_at IS NOT NULL AND (
        done_at < now() - interval '1 minute'
        OR EXISTS (SELECT FROM erasure_answer AS it WHERE it.erasure = erasure.id))
    ORDER BY done_at LIMIT $1
"""

_TELL: Final = """
    UPDATE erasure SET topics = new.topics
    FROM unnest($1::uuid[], $2::jsonb[]) AS new (id, topics)
    WHERE erasure.id = new.id AND erasure.topics IS NULL
"""

Config = Mapping[str, str]


class Receipts:
    """Completes the receipts of this service's erasures; `run` it as a task."""

    def __init__(self, database: Database, kafka: KafkaSettings, reader: Reader) -> None:
        """Make it.

        Args:
            database: stage-engine's schema.
            kafka: the way to the topics' settings.
            reader: tells where topics end.
        """
        self._database = database
        self._kafka = kafka
        self._reader = reader

    async def run(self, stop: asyncio.Event) -> None:
        """Complete receipts until `stop` is set."""
        backoff = Backoff("receipts")
        while not stop.is_set():
            try:
                await self.complete()
                backoff.succeeded()
            except Unavailable as error:
                await backoff.wait_or_stop(error, stop)
            except SettingsError as error:
                log.warning("receipts.topics_unknown", reason=str(error))
            await pause(stop, EVERY)

    async def complete(self) -> int:
        """Complete the receipts that wait for it; gives how many.

        Raises:
            Unavailable: PostgreSQL or Kafka is away.
            SettingsError: the broker refuses to tell a topic's settings.
        """
        async with self._database.connection() as db:
            rows = await db.fetch(_UNTOLD, BATCH)
            if not rows:
                return 0
            copies = {it["topic"]: it["sealed"] for it in await db.fetch(_COPIES)}
            river = await keys.sealed_since(db)
        settings = await settings_of(self._kafka, [*OWN, *sorted(copies)])
        ends = {name: await self._reader.end_offsets(name) for name in settings}
        sealed: dict[str, datetime | None] = {it: None for it, whole in copies.items() if whole}
        if river["partitions"] == TOUCHPOINTS.partitions:
            sealed[JOURNEY.name] = await self._plain_until(river["since"])
        topics = [_written(told(it["done_at"], settings, ends, {*copies}, sealed)) for it in rows]
        async with self._database.connection() as db:
            await db.execute(_TELL, [it["id"] for it in rows], topics)
        return len(rows)

    async def _plain_until(self, since: datetime | None) -> datetime | None:
        """Give the instant since which the river is sealed; None where nothing older is left."""
        if since is None:
            return None
        later = since + CLOCKS
        oldest = await self._reader.offsets_at(JOURNEY.name, 0)
        first = await self._reader.offsets_at(JOURNEY.name, int(later.timestamp() * 1000))
        return None if oldest == first else later


def told(
    done_at: datetime,
    settings: Mapping[str, Config],
    ends: Mapping[str, Mapping[int, int]],
    copies: set[str],
    sealed: Mapping[str, datetime | None],
) -> list[Topic]:
    """Say what each topic holds of somebody who was erased at an instant, and how long.

    Args:
        done_at: when the person was erased.
        settings: of every topic.
        ends: per topic and partition, the offset after the last record.
        copies: which of them are copies of the river.
        sealed: which are sealed, and up to when they got plain records; None where they hold none.
    """
    found: list[Topic] = []
    for name, config in settings.items():
        plain_until = sealed.get(name, done_at)
        clean = done_at if plain_until is None else clean_by(plain_until, config)
        found.append(
            Topic(name, dict(ends[name]), clean, name in copies, sealed=plain_until is None)
        )
    return found


def clean_by(done_at: datetime, config: Config) -> datetime | None:
    """Give the instant by which nothing from before another one is left; None for never."""
    if "delete" not in config.get("cleanup.policy", "delete"):
        return None
    kept = int(config.get("retention.ms", -1))
    if kept < 0:
        return None
    return done_at + timedelta(milliseconds=kept + int(config.get("segment.ms", 0)))


def _written(topics: Sequence[Topic]) -> str:
    return msgspec.json.encode(topics).decode()
