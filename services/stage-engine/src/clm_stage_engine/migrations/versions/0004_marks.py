"""What ingest marked a touchpoint as: sent by a crawler, from inside, imported from the past."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; what is there is marked as nothing, which takes no rewriting."""
    op.execute("ALTER TABLE history ADD COLUMN marks text NOT NULL DEFAULT ''")


def downgrade() -> None:
    """Take it away."""
    op.execute("ALTER TABLE history DROP COLUMN marks")
