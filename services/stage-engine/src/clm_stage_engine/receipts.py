"""Completes receipts: up to which offset topics hold something of an erased person, and how long.

A record lives as long as its topic keeps records, and then until the segment it lies in is closed:
`retention.ms` and `segment.ms` after the erasure at the latest. Looked up once `erased` stands on
the river (a service has answered), or after a minute if nobody answers.
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

log = structlog.get_logger()

EVERY: Final = 2.0
"""Seconds between two looks."""

BATCH: Final = 500

OWN: Final = tuple(
    it.name for it in (TOUCHPOINTS, TOUCHPOINTS_DLQ, JOURNEY, JOURNEY_DLQ, STAGE_CHANGES)
)

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
            copies = {row["topic"] for row in await db.fetch("SELECT topic FROM river_copy")}
        settings = await settings_of(self._kafka, [*OWN, *sorted(copies)])
        ends = {name: await self._reader.end_offsets(name) for name in settings}
        topics = [_written(told(it["done_at"], settings, ends, copies)) for it in rows]
        async with self._database.connection() as db:
            await db.execute(_TELL, [it["id"] for it in rows], topics)
        return len(rows)


def told(
    done_at: datetime,
    settings: Mapping[str, Config],
    ends: Mapping[str, Mapping[int, int]],
    copies: set[str],
) -> list[Topic]:
    """Say what each topic holds of somebody who was erased at an instant, and how long."""
    return [
        Topic(name, dict(ends[name]), clean_by(done_at, config), name in copies)
        for name, config in settings.items()
    ]


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
