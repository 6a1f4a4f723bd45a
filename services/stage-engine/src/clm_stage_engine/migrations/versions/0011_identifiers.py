"""Identifiers that touchpoints name: email addresses, phone numbers, ids of other systems.

Each belongs to an identity, goes where it goes, and is forgotten with it.
"""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Create the table; touchpoints from before have named none."""
    op.execute(
        """
        CREATE TABLE identifier (
            workspace text NOT NULL,
            kind text NOT NULL,
            value text NOT NULL,
            identity_id uuid NOT NULL REFERENCES identity (id) ON DELETE CASCADE,
            said_at timestamptz NOT NULL,
            said_by text NOT NULL,
            PRIMARY KEY (workspace, kind, value, identity_id)
        )
        """
    )
    op.execute("CREATE INDEX identifier_identity ON identifier (identity_id, kind)")


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE identifier")
