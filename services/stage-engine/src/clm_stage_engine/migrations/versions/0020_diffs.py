"""Diffs of a lifecycle that were asked for over HTTP: a row says how far each is."""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0023"

_TABLES = (
    """
    CREATE TABLE lifecycle_diff (
        id uuid PRIMARY KEY,
        workspace text NOT NULL,
        key text NOT NULL,
        number integer NOT NULL,
        terms text NOT NULL,
        author text NOT NULL,
        asked_at timestamptz NOT NULL,
        state text NOT NULL DEFAULT 'waiting'
            CHECK (state IN ('waiting', 'running', 'done', 'failed', 'cancelled')),
        done bigint NOT NULL DEFAULT 0,
        total bigint,
        place bytea,
        answer bytea,
        reason text,
        ended_at timestamptz,
        owner text,
        epoch bigint NOT NULL DEFAULT 0,
        lease_until timestamptz NOT NULL DEFAULT '-infinity'
    ) WITH (fillfactor = 50)
    """,
    "CREATE INDEX lifecycle_diff_open ON lifecycle_diff (asked_at) "
    "WHERE state IN ('waiting', 'running')",
    "CREATE INDEX lifecycle_diff_ended ON lifecycle_diff (ended_at) WHERE ended_at IS NOT NULL",
)


def upgrade() -> None:
    """Create the table."""
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE lifecycle_diff")
