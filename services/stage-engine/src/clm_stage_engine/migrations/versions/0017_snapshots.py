"""Snapshots of people whose older touchpoints were let go, and how far that is."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"

_TABLES = (
    """
    CREATE TABLE snapshot (
        identity_id uuid PRIMARY KEY,
        cut timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL DEFAULT now(),
        data bytea NOT NULL
    )
    """,
    """
    CREATE TABLE history_floor (
        workspace text PRIMARY KEY,
        since timestamptz NOT NULL,
        decided_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE history_fold (
        workspace text NOT NULL,
        since timestamptz NOT NULL,
        partition integer NOT NULL,
        after uuid NOT NULL,
        people bigint NOT NULL,
        touchpoints bigint NOT NULL,
        done_at timestamptz,
        PRIMARY KEY (workspace, since, partition)
    )
    """,
)


def upgrade() -> None:
    """Create the tables; nothing is let go yet."""
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop them; who has a snapshot begins with what is kept."""
    op.execute("DROP TABLE snapshot, history_floor, history_fold")
