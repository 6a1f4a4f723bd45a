"""Cursors: where a page ended, as text that means nothing to whoever passes it on."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, Generic, TypeVar

import msgspec
from msgspec import Meta, Struct

from clm_common.errors import Rejected

P = TypeVar("P", bound=Struct)

Micros = Annotated[int, Meta(ge=-62_135_596_800_000_000, le=253_402_300_799_999_999)]
"""An instant in a place: what a `datetime` can hold."""

Rank = Annotated[int, Meta(ge=-1, le=9)]
Name = Annotated[str, Meta(pattern="^[^\0]*$")]
"""A text in a place: what PostgreSQL can hold."""


class Page(Struct, frozen=True):
    """Which page is asked for.

    Attributes:
        cursor: where the page before it ended; None for the first.
        limit: how many at most.
    """

    cursor: str | None
    limit: int


class Cursor(Generic[P]):
    """Writes and reads the places of one kind of page."""

    def __init__(self, place: type[P]) -> None:
        """Make it for a kind of place, best an `array_like` struct."""
        self._decode = msgspec.json.Decoder(place).decode

    def write(self, place: P) -> str:
        """Write a place."""
        return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")

    def read(self, text: str | None) -> P | None:
        """Read what `write` wrote; None stands for the beginning.

        Raises:
            Rejected: it is none of ours.
        """
        if text is None:
            return None
        try:
            return self._decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        except (ValueError, msgspec.DecodeError) as error:
            raise Rejected(
                400,
                "cursor.invalid",
                "cursor is none that this API gave for this list; leave it out to start over",
            ) from error


R = TypeVar("R")


def cut(rows: Sequence[R], limit: int) -> tuple[Sequence[R], R | None]:
    """Part what was read with one too many: the page, and its last row where more follow."""
    return rows[:limit], rows[limit - 1] if len(rows) > limit else None
