"""Rows packed for a binary COPY, on a real PostgreSQL."""

from __future__ import annotations

from uuid import UUID

from clm_common.instant import to_datetime
from clm_common.store import copying
from clm_common.store.copying import layout
from clm_common.store.database import Database


async def test_packed_rows_are_read_back_as_they_were(database_url: str) -> None:
    columns = ("id", "number", "big", "at", "yes", "name", "body", "due")
    pack = layout(
        copying.COUNT, copying.UUID, copying.INT4, copying.INT8, copying.INT8, copying.BOOL
    ).pack
    given = [
        (UUID(int=1), 7, -(2**62), -1, True, "Zoë", b"\0\xff", 0),
        (UUID(int=2**128 - 1), -1, 2**62, 253_402_300_799_999_999, False, None, None, None),
        (UUID(int=3), 0, 0, 946_684_800_000_000, True, "", b"", 1_700_000_000_000_001),
    ]
    rows = [
        pack(8, 16, id_.bytes, 4, number, 8, big, 8, copying.since_2000(at), 1, yes)
        + copying.text(name)
        + copying.data(body)
        + copying.instant(due)
        for id_, number, big, at, yes, name, body, due in given
    ]

    async with Database(database_url, schema="public") as db, db.transaction() as tx:
        await tx.execute(
            "CREATE TABLE packed (id uuid, number integer, big bigint, at timestamptz,"
            " yes boolean, name text, body bytea, due timestamptz)"
        )
        await copying.copy(tx, "packed", columns, rows)
        found = await tx.fetch("SELECT * FROM packed")

    assert [tuple(row) for row in found] == [
        (*head, to_datetime(at), yes, name, body, None if due is None else to_datetime(due))
        for *head, at, yes, name, body, due in given
    ]
