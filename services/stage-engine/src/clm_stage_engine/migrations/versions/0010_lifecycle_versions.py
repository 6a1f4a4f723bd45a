"""Definitions as versions: what a workspace wrote, what it published when, and how far that is."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0007"

_STATEMENTS = (
    """
    CREATE TABLE lifecycle_version (
        workspace text NOT NULL,
        key text NOT NULL,
        number integer NOT NULL,
        digest text NOT NULL,
        yaml text NOT NULL,
        author text NOT NULL,
        note text NOT NULL,
        state text NOT NULL CHECK (state IN ('draft', 'canary', 'published', 'retired')),
        share double precision,
        created_at timestamptz NOT NULL DEFAULT now(),
        published_at timestamptz,
        PRIMARY KEY (workspace, key, number)
    )
    """,
    """
    CREATE UNIQUE INDEX lifecycle_version_decides ON lifecycle_version (workspace, key, state)
    WHERE state IN ('canary', 'published')
    """,
    """
    CREATE TABLE lifecycle_publication (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        workspace text NOT NULL,
        key text NOT NULL,
        number integer NOT NULL,
        action text NOT NULL CHECK (action IN ('publish', 'canary', 'rollback')),
        share double precision,
        author text NOT NULL,
        note text NOT NULL,
        at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX lifecycle_publication_key ON lifecycle_publication (workspace, key, id)",
    """
    CREATE TABLE lifecycle_sweep (
        publication bigint NOT NULL,
        partition integer NOT NULL,
        after uuid NOT NULL,
        folded bigint NOT NULL,
        done_at timestamptz,
        PRIMARY KEY (publication, partition)
    )
    """,
    "ALTER TABLE stage_change ADD COLUMN lifecycle_version integer NOT NULL DEFAULT 0",
)


def upgrade() -> None:
    """Create the tables and the column; what is there was decided by files."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute("ALTER TABLE stage_change DROP COLUMN lifecycle_version")
    op.execute("DROP TABLE lifecycle_sweep, lifecycle_publication, lifecycle_version")
