"""Each publication says which versions decide from when on, and what became of people in flight."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"

_STATEMENTS = (
    "ALTER TABLE lifecycle_publication ADD COLUMN eras jsonb",
    """
    UPDATE lifecycle_publication SET eras = jsonb_build_array(jsonb_build_object(
        'number', number,
        'policy', 're-derive'
    ))
    """,
    "ALTER TABLE lifecycle_publication ALTER COLUMN eras SET NOT NULL",
)


def upgrade() -> None:
    """Add the column; so far every version decided about the whole past."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop it: the newest version decides about the whole past."""
    op.execute("ALTER TABLE lifecycle_publication DROP COLUMN eras")
