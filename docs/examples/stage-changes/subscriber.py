"""Keeps where every customer stands in an SQLite file, from `clm.stage-changes`.

Whoever is erased is forgotten.

    pip install aiokafka
    python subscriber.py localhost:9092 stages.sqlite [TOPIC ...]

Beside it lies `stage_change.py`, from `docs/reference/clients`. Further topics are copies that `clm
journey republish` made. Ask `SELECT * FROM stage`; stop it, or kill it, and start it again at will.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from stage_change import read

TOPIC = "clm.stage-changes"
CHANGED = {b"clm.stage-change.v1", b"clm.journey.stage-changed.v1"}
ERASED = {b"clm.person-erased.v1", b"clm.journey.erased.v1"}
"""The second one of each is that of a copy, which has other messages besides."""

TABLES = """
    CREATE TABLE IF NOT EXISTS stage_change (
        id TEXT PRIMARY KEY, version INTEGER, retracted BOOLEAN, profile_id TEXT, user_id TEXT,
        lifecycle TEXT, target TEXT, at TEXT, source TEXT, cause TEXT, historical BOOLEAN
    );
    CREATE INDEX IF NOT EXISTS of_profile ON stage_change (profile_id);
    CREATE TABLE IF NOT EXISTS erased (profile_id TEXT PRIMARY KEY, version INTEGER);
    CREATE TABLE IF NOT EXISTS position (
        topic TEXT, part INTEGER, next INTEGER, PRIMARY KEY (topic, part)
    );
    CREATE VIEW IF NOT EXISTS stage AS
        SELECT profile_id, lifecycle, target AS stage, at AS since, user_id FROM (
            SELECT *, row_number() OVER (
                PARTITION BY profile_id, lifecycle
                ORDER BY at DESC, source IS NULL, cause IS NULL, cause DESC
            ) AS place
            FROM stage_change WHERE NOT retracted
        ) WHERE place = 1;
"""

KEEP = """
    INSERT INTO stage_change
    SELECT :id, :version, :retracted, :profile_id, :user_id,
        :lifecycle, :target, :at, :source, :cause, :historical
    WHERE NOT EXISTS (
        SELECT 1 FROM erased WHERE profile_id = :profile_id AND version >= :version)
    ON CONFLICT (id) DO UPDATE SET version = excluded.version, retracted = excluded.retracted,
        user_id = excluded.user_id, historical = excluded.historical
    WHERE excluded.version > stage_change.version
"""
"""Per change the newest version is the truth, in whatever order they come, and however often."""

FORGET = (
    "DELETE FROM stage_change WHERE profile_id = :profile_id AND version <= :version",
    """
    INSERT INTO erased VALUES (:profile_id, :version) ON CONFLICT (profile_id)
    DO UPDATE SET version = max(version, excluded.version)
    """,
)
"""What is older than an erasure stays out, also where it comes after it."""

MOVE_ON = "INSERT OR REPLACE INTO position VALUES (?, ?, ?)"

Records = dict[TopicPartition, list[Any]]  # Any: aiokafka's records; it publishes no types


def take(database: sqlite3.Connection, record: Any) -> None:  # Any: as above
    """Take in one record; what is of any other type is passed over."""
    kind = dict(record.headers).get("ce_type")
    if kind in CHANGED:
        database.execute(KEEP, vars(read(record.value)))
    elif kind in ERASED:
        for statement in FORGET:
            database.execute(statement, json.loads(record.value))


def keep(database: sqlite3.Connection, found: Records) -> None:
    """Keep changes and positions in one transaction, so that each record counts once."""
    with database:
        for place, records in found.items():
            for record in records:
                take(database, record)
            database.execute(MOVE_ON, (place.topic, place.partition, records[-1].offset + 1))


def resume(database: sqlite3.Connection, consumer: AIOKafkaConsumer) -> None:
    """Read on where the last run ended; a position that the topic forgot begins at its oldest."""
    for topic, part, offset in database.execute("SELECT topic, part, next FROM position"):
        if (place := TopicPartition(topic, part)) in consumer.assignment():
            consumer.seek(place, offset)


async def subscribe(brokers: str, database: sqlite3.Connection, topics: Iterable[str]) -> None:
    """Read all partitions, for ever."""
    consumer = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=brokers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        group_id=None,  # the positions stand beside what was read
    )
    async with consumer:
        resume(database, consumer)
        while True:
            if found := await consumer.getmany(timeout_ms=1_000):
                keep(database, found)


if __name__ == "__main__":
    kept = sqlite3.connect(sys.argv[2])
    kept.executescript(TABLES)
    asyncio.run(subscribe(sys.argv[1], kept, [TOPIC, *sys.argv[3:]]))
