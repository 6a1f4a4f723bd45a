"""Touchpoints that came too late to count, as they were sent."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0012"


def upgrade() -> None:
    """Create the table."""
    op.execute(
        """
        CREATE TABLE late_touchpoint (
            id bigint GENERATED ALWAYS AS IDENTITY,
            identity_id uuid NOT NULL,
            time timestamptz NOT NULL,
            source text NOT NULL,
            message_id text NOT NULL,
            workspace text NOT NULL,
            received_at timestamptz NOT NULL,
            recorded_at timestamptz NOT NULL DEFAULT now(),
            body bytea NOT NULL,
            marks text NOT NULL,
            PRIMARY KEY (identity_id, time, source, message_id)
        )
        """
    )
    op.execute("CREATE INDEX late_touchpoint_workspace ON late_touchpoint (workspace, id)")
    op.execute("CREATE INDEX late_touchpoint_recorded ON late_touchpoint (workspace, recorded_at)")


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE late_touchpoint")
