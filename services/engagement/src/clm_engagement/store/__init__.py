"""Engagement's rows: loads and saves many in one statement; decides nothing.

Every function takes a connection; where it writes, its transaction is open. Instants come and go as
µs; `timestamptz` exists in here only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

SCHEMA: Final = "engagement"

Row = Any  # Any: asyncpg publishes no types; a record


def columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    """Turn rows into one list per column, for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * width
