"""Rows in PostgreSQL's binary COPY format, packed by us: a third of what the driver's codecs cost.

A row is the number of its columns, then each column as its length (-1 for NULL) and its value,
big-endian. Columns of fixed width are best packed by one `struct`, lengths included (`UUID`, `INT8`
... name them); the others are appended one by one. Source: PostgreSQL's documentation of COPY.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from struct import Struct
from typing import Final

from clm_common.store.database import Connection

COUNT: Final = "h"
INT4: Final = "ii"
INT8: Final = "iq"
UUID: Final = "i16s"
BOOL: Final = "i?"
LENGTH: Final = "i"
"""Parts of a `struct` format: the number of columns, a length with its value, or without it."""

NULL: Final = b"\xff\xff\xff\xff"

length: Final = Struct(">i").pack
"""Write the length of a value, which follows; cheaper than `data` where it is never NULL."""

_BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = b"\xff\xff"
_2000: Final = 946_684_800_000_000
_instant: Final = Struct(">iq").pack


def layout(*parts: str) -> Struct:
    """Give the `struct` of a row's beginning: `COUNT` and the columns of fixed width."""
    return Struct(">" + "".join(parts))


def since_2000(micros: int) -> int:
    """Turn µs since 1970 into the value of a `timestamptz`, an `INT8`."""
    return micros - _2000


def instant(micros: int | None) -> bytes:
    """Write a `timestamptz`."""
    return NULL if micros is None else _instant(8, micros - _2000)


def data(value: bytes | None) -> bytes:
    """Write a `bytea`, or the bytes of any value."""
    return NULL if value is None else length(len(value)) + value


def text(value: str | None) -> bytes:
    """Write a `text`."""
    return NULL if value is None else data(value.encode())


async def copy(tx: Connection, table: str, columns: Sequence[str], rows: Iterable[bytes]) -> None:
    """Append packed rows to a table, the columns in the order they are packed in."""

    async def whole() -> AsyncGenerator[bytes]:
        yield b"".join((_BEGIN, *rows, _END))

    await tx.copy_to_table(table, source=whole(), columns=columns, format="binary")
