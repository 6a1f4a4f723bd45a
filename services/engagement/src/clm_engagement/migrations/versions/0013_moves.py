"""How often an identity has moved: of two moves the later one holds."""

from __future__ import annotations

from alembic import op

revision = "0013"
down_revision = "0003"


def upgrade() -> None:
    """Add the count."""
    op.execute("ALTER TABLE identity ADD COLUMN moves integer NOT NULL DEFAULT 0")


def downgrade() -> None:
    """Drop it."""
    op.execute("ALTER TABLE identity DROP COLUMN moves")
