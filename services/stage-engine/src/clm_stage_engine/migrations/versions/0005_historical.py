"""What follows from touchpoints that were imported from the past is known as such."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

_TABLES = ("stage_change", "profile")


def upgrade() -> None:
    """Add the columns."""
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} ADD COLUMN historical boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    """Drop them."""
    for table in _TABLES:
        op.execute(f"ALTER TABLE {table} DROP COLUMN historical")
