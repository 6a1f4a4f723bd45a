"""The eras of lifecycles as publications keep them: which versions decide, and from when on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from clm_common.instant import from_datetime
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.eras import ALWAYS, Policy

Row = Any  # Any: asyncpg publishes no types; a record

SETTLED: Final = 3.0
"""Seconds after which every process goes by a publication: they read them every second."""

_DECIDING: Final = """
    SELECT v.workspace, v.key, v.share, newest.id AS publication,
        newest.at < now() - make_interval(secs => $3) AS settled, act.eras, (
            SELECT jsonb_object_agg(t.number, t.yaml) FROM lifecycle_version t
            WHERE t.workspace = v.workspace AND t.key = v.key AND t.number IN (
                SELECT (era->>'number')::int FROM jsonb_array_elements(act.eras) AS era
            )
        ) AS texts
    FROM lifecycle_version v CROSS JOIN LATERAL (
        SELECT id, at FROM lifecycle_publication p
        WHERE p.workspace = v.workspace AND p.key = v.key ORDER BY id DESC LIMIT 1
    ) AS newest CROSS JOIN LATERAL (
        SELECT eras FROM lifecycle_publication p
        WHERE p.workspace = v.workspace AND p.key = v.key
            AND (p.action = 'canary') = (v.state = 'canary') ORDER BY id DESC LIMIT 1
    ) AS act
    WHERE ($1::text IS NULL OR v.key = $1) AND ($2::text IS NULL OR v.workspace = $2)
        AND v.state IN ('canary', 'published')
    ORDER BY v.workspace, v.key, v.share NULLS FIRST
"""


class KeptEra(Struct, frozen=True, omit_defaults=True):
    """An era as a publication keeps it.

    Attributes:
        number: the version's.
        policy: how people in flight went over.
        at: since when; None of the first, which decides about all before.
        stages: the new stage's key by the old one's, for `map` and `drain`.
    """

    number: int
    policy: Policy = "re-derive"
    at: datetime | None = None
    stages: Mapping[str, str] = {}

    @property
    def since(self) -> int:
        """Since when, µs."""
        return ALWAYS if self.at is None else from_datetime(self.at)


Eras = tuple[KeptEra, ...]


class Deciding(Struct, frozen=True):
    """The versions that decide about some people, in turn.

    Attributes:
        workspace: about whose people.
        key: the lifecycle's.
        share: of the people, for a canary; None decides about all others.
        publication: the workspace's newest act.
        settled: that is some seconds ago.
        eras: the versions, oldest first.
        texts: their definitions by number.
    """

    workspace: str
    key: str
    share: float | None
    publication: int
    settled: bool
    eras: Eras
    texts: Mapping[int, str]


_encode: Final = msgspec.json.Encoder().encode


def written(eras: Sequence[KeptEra]) -> str:
    """Write eras as the text of a column."""
    return _encode(eras).decode()


def read(column: object) -> Eras:
    """Read such a column, which the driver gives as JSON values."""
    return msgspec.convert(column, Eras)


async def deciding(
    db: Connection, key: str | None = None, workspace: str | None = None
) -> list[Deciding]:
    """Give what decides, by a lifecycle of that key or by any: of a workspace, or of all.

    Of each workspace and lifecycle the version that decides about most comes first, then a
    canary's.
    """
    rows = await db.fetch(_DECIDING, key, workspace, SETTLED)
    return [_deciding(row) for row in rows]


def _deciding(row: Row) -> Deciding:
    return Deciding(
        row["workspace"],
        row["key"],
        row["share"],
        row["publication"],
        row["settled"],
        read(row["eras"]),
        msgspec.convert(row["texts"], dict[int, str], str_keys=True),
    )
