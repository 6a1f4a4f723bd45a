"""Matches: the priority of a decision's kind, and the devices that do not follow their link."""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0019"


def upgrade() -> None:
    """Add the column and the index; few devices are anywhere else than with their link's user."""
    op.execute("ALTER TABLE decision ADD COLUMN rank smallint NOT NULL DEFAULT 0")
    op.execute("CREATE INDEX identity_astray ON identity (link_user) WHERE link_user <> profile_id")


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP INDEX identity_astray")
    op.execute("ALTER TABLE decision DROP COLUMN rank")
