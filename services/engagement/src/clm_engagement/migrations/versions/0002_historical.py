"""Stage entries that follow from what was imported from the past are known as such."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE stage_entry ADD COLUMN historical boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE stage_entry DROP COLUMN historical")
