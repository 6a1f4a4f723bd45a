"""Erasures as they are asked for, and their receipts."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct

from clm_common.runtime.handler import Connection
from clm_stage_engine.views import CleanTopic, Erasure, Store

Row = Any  # Any: asyncpg publishes no types; a record

SERVICES: Final = ("metrics", "engagement")
"""Who keeps something of people besides stage-engine, and answers."""

_ASK: Final = """
    INSERT INTO erasure (id, workspace, partition, profile_id, reason, author, asked_at)
    SELECT $1, workspace, home, id, $4, $5, $6 FROM profile WHERE workspace = $2 AND id = $3
    ON CONFLICT (profile_id) WHERE done_at IS NULL DO NOTHING
"""

_ASKED: Final = "SELECT * FROM erasure WHERE profile_id = $1 AND done_at IS NULL"

_RECEIPT: Final = "SELECT * FROM erasure WHERE workspace = $1 AND id = $2"

_ANSWERS: Final = """
    SELECT service, count(*) AS parts, max(done_at) AS done_at
    FROM erasure_answer WHERE erasure = $1 GROUP BY service
"""


class Topic(Struct, frozen=True):
    """What is known of a topic's part in an erasure, as it is stored.

    Attributes:
        topic: its name.
        before: per partition, the offset before which records of the person may stand.
        clean_by: when the last of them is deleted; None where the topic never deletes.
        copy: it is a republished copy of the river.
        sealed: what it holds of the person was sealed with keys that are no more.
    """

    topic: str
    before: dict[int, int]
    clean_by: datetime | None
    copy: bool = False
    sealed: bool = False


async def ask(  # noqa: PLR0913 - what an erasure is made of
    db: Connection,
    *,
    name: UUID,
    workspace: str,
    profile: UUID,
    reason: str,
    author: str,
    now: datetime,
) -> Erasure | None:
    """Ask for an erasure; asked for already and not yet done, it is that one.

    Returns:
        The receipt; None where the person was erased at this very moment.
    """
    await db.execute(_ASK, name, workspace, profile, reason, author, now)
    row = await db.fetchrow(_ASKED, profile)
    return None if row is None else _erasure(row, {})


async def receipt(db: Connection, workspace: str, name: UUID) -> Erasure | None:
    """Give the receipt of an erasure; None if there is none of that id in the workspace."""
    row = await db.fetchrow(_RECEIPT, workspace, name)
    if row is None:
        return None
    answers = {it["service"]: it for it in await db.fetch(_ANSWERS, name)}
    return _erasure(row, answers)


def _erasure(row: Row, answers: dict[str, Row]) -> Erasure:
    stores = [Store(service="stage-engine", done_at=row["done_at"])]
    for service in SERVICES:
        found = answers.get(service)
        whole = found is not None and found["parts"] == row["parts"]
        stores.append(Store(service=service, done_at=found["done_at"] if found and whole else None))
    topics = msgspec.convert(row["topics"] or [], list[Topic], strict=False)
    is_done = all(it.done_at for it in stores)
    return Erasure(
        id=row["id"],
        state="erased" if is_done else "erasing" if row["done_at"] else "waiting",
        reason=row["reason"],
        author=row["author"],
        asked_at=row["asked_at"],
        profiles=row["parts"],
        touchpoints=row["touchpoints"],
        stores=stores,
        topics=[
            CleanTopic(
                topic=it.topic,
                before=it.before,
                clean_by=it.clean_by,
                copy_of_river=it.copy,
                sealed=it.sealed,
            )
            for it in topics
        ],
    )
