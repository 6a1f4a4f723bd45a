"""Rows as one list per column, the form that `unnest` takes."""

from __future__ import annotations

from collections.abc import Sequence


def columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    """Turn rows into one list per column, for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * width
