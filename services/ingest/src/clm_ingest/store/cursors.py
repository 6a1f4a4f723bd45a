"""Cursors of pages: where a page ended, as text that callers hand back and do not read."""

import base64
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from clm_common.errors import Rejected


class Place(Struct, array_like=True, frozen=True):
    """Where a page ended: rows are ordered by time, then by id."""

    at: datetime
    id: UUID

    def write(self) -> str:
        """Write it as a cursor."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode()


BEGINNING: Final = Place(datetime(1, 1, 1, tzinfo=UTC), UUID(int=0))
END: Final = Place(datetime(9999, 12, 31, tzinfo=UTC), UUID(int=2**128 - 1))

_decode: Final = msgspec.json.Decoder(Place).decode


def place_of(cursor: str | None, start: Place = BEGINNING) -> Place:
    """Read a cursor; without one it is the start.

    Raises:
        Rejected: 400 if it is none of ours.
    """
    if cursor is None:
        return start
    try:
        place = _decode(base64.urlsafe_b64decode(cursor.encode()))
    except (ValueError, msgspec.DecodeError):
        place = None
    if place is None or place.at.tzinfo is None:
        detail = "cursor is none that this API gave; leave it out to start over"
        raise Rejected(400, "cursor.invalid", detail)
    return place
