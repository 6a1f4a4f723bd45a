"""The history in partitions by month of event time; rows from before move into theirs.

All of it is one transaction: broken off at any point it leaves the table as it was, and the next
start does it again. A touchpoint from before counts as recorded when it was received. Months far from now stay together in the default partition.
"""

from __future__ import annotations

from datetime import UTC, datetime

from alembic import op
from sqlalchemy import text

from clm_common.instant import from_datetime
from clm_stage_engine.core import months

revision = "0003"
down_revision = "0002"

_INDEXES = (
    "CREATE INDEX history_identity ON history (identity_id, time)",
    "CREATE INDEX history_untimed ON history (identity_id, message_id) WHERE untimed",
    "CREATE INDEX history_seq ON history USING brin (seq) WITH (autosummarize = on)",
)
_OLD_INDEXES = ("history_identity", "history_untimed", "history_seq")


def upgrade() -> None:
    """Make the partitioned table, move each month's rows, then add the indexes."""
    op.execute("SET LOCAL transaction_timeout = 0")
    op.execute("ALTER TABLE history RENAME TO history_before")
    op.execute("DROP INDEX " + ", ".join(_OLD_INDEXES))
    op.execute("CREATE TABLE history (LIKE history_before INCLUDING ALL) PARTITION BY RANGE (time)")
    op.execute("ALTER TABLE history ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT now()")
    op.execute("CREATE TABLE history_default PARTITION OF history DEFAULT")
    for month in _present():
        start, end = (each.isoformat() for each in months.bounds(month))
        op.execute(
            f"CREATE TABLE {months.table(month)} PARTITION OF history "
            f"FOR VALUES FROM ('{start}') TO ('{end}')"
        )
    op.execute("INSERT INTO history SELECT it.*, received_at FROM history_before it ORDER BY partition, seq")
    op.execute("DROP TABLE history_before")
    for statement in _INDEXES:
        op.execute(statement)


def _present() -> list[int]:
    """Give the months that have rows and a partition of their own."""
    found = op.get_bind().execute(
        text("SELECT DISTINCT date_trunc('month', time AT TIME ZONE 'UTC') FROM history_before")
    )
    now = from_datetime(datetime.now(UTC))
    present = {months.month_of(from_datetime(moment)) for (moment,) in found}
    return sorted(month for month in present if months.is_near(month, now))


def downgrade() -> None:
    """Put all of it into one table again."""
    op.execute("ALTER TABLE history RENAME TO history_parted")
    op.execute("DROP INDEX " + ", ".join(_OLD_INDEXES))
    op.execute("CREATE TABLE history (LIKE history_parted INCLUDING ALL)")
    op.execute("INSERT INTO history SELECT * FROM history_parted ORDER BY partition, seq")
    op.execute("DROP TABLE history_parted")
    op.execute("ALTER TABLE history DROP COLUMN recorded_at")
    for statement in _INDEXES:
        op.execute(statement)
