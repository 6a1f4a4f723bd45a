"""Instants as the code uses them: integer microseconds since the Unix epoch, in UTC.

Integers are exact, ordered and fast; RFC 3339 text and `datetime` appear at the edges only.
Nothing here reads a clock: see `clm_common.clock` for that.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - writes no offset: what is added is the `Z`
_MICROSECOND: Final = timedelta(microseconds=1)


def from_datetime(moment: datetime) -> int:
    """Turn an aware datetime into µs since the epoch, exactly; a naive one counts as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def to_datetime(micros: int) -> datetime:
    """Turn µs since the epoch into an aware UTC datetime, exactly."""
    return _EPOCH + timedelta(microseconds=micros)


def to_rfc3339(micros: int) -> str:
    """Write µs since the epoch as RFC 3339 in UTC with six decimals and a `Z`."""
    return (_FIRST + timedelta(microseconds=micros)).isoformat(timespec="microseconds") + "Z"


def from_rfc3339(text: str) -> int:
    """Read RFC 3339 or ISO 8601 text as µs since the epoch; without an offset it is UTC.

    Raises:
        ValueError: the text is no such time.
    """
    return from_datetime(datetime.fromisoformat(text))
