"""Decisions about who is one person, how often an identity has moved, and who lost one."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0017"

_UP = (
    """
    ALTER TABLE identity ADD COLUMN moves integer NOT NULL DEFAULT 0,
        ADD COLUMN decided integer NOT NULL DEFAULT 0
    """,
    "ALTER TABLE profile ADD COLUMN parted boolean NOT NULL DEFAULT false",
    "ALTER TABLE identity_moved ADD COLUMN moves integer NOT NULL DEFAULT 0",
    """
    CREATE TABLE decision (
        id uuid PRIMARY KEY,
        workspace text NOT NULL,
        kind text NOT NULL,
        at timestamptz NOT NULL,
        name text NOT NULL,
        members uuid[] NOT NULL,
        undoes uuid,
        reason text,
        author text,
        recorded_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX decision_members ON decision USING gin (members)",
)


def upgrade() -> None:
    """Create the table and the counts."""
    for statement in _UP:
        op.execute(statement)


def downgrade() -> None:
    """Drop them; who was merged stays so until the history is folded by links alone."""
    op.execute("DROP TABLE decision")
    op.execute("ALTER TABLE identity_moved DROP COLUMN moves")
    op.execute("ALTER TABLE profile DROP COLUMN parted")
    op.execute("ALTER TABLE identity DROP COLUMN moves, DROP COLUMN decided")
