"""Why each transition was taken: what its guards found, and what others lacked."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Create the table; transitions from before stay without a record until they are re-folded."""
    op.execute(
        """
        CREATE TABLE explanation (
            profile_id uuid NOT NULL,
            change_id uuid NOT NULL,
            version bigint NOT NULL,
            record bytea NOT NULL,
            recorded_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (profile_id, change_id, version)
        )
        """
    )


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE explanation")
