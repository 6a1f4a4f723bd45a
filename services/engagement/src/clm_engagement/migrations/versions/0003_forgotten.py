"""Whom this service has forgotten, and whether stage-engine knows."""

from __future__ import annotations

from alembic import op

from clm_common.store import forgotten

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the table."""
    for statement in forgotten.TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop it."""
    op.execute("DROP TABLE forgotten")
