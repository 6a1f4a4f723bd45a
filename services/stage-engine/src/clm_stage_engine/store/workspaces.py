"""The workspaces that have rows in a table, one step of its index each."""

from __future__ import annotations

from typing import Final, Literal

from clm_common.runtime.handler import Connection

_EACH: Final = """
    WITH RECURSIVE each AS (
        (SELECT workspace FROM {table} ORDER BY workspace LIMIT 1)
        UNION ALL
        SELECT (SELECT workspace FROM {table} AS it WHERE it.workspace > each.workspace
                ORDER BY workspace LIMIT 1)
        FROM each WHERE each.workspace IS NOT NULL
    )
    SELECT workspace FROM each WHERE workspace IS NOT NULL
"""


async def workspaces(db: Connection, table: Literal["profile", "late_touchpoint"]) -> list[str]:
    """Give the workspaces that a table, which has an index by them, has rows of."""
    return [row["workspace"] for row in await db.fetch(_EACH.format(table=table))]
