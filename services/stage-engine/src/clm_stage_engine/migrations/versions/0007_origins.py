"""How each touchpoint came about, as it was told when it was counted.

NULL is not told yet (rows from before), the empty text is: nothing tells.
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

_COLUMNS = ("channel", "campaign", "content")


def upgrade() -> None:
    """Add the columns, which takes no rewriting."""
    for column in _COLUMNS:
        op.execute(f"ALTER TABLE history ADD COLUMN {column} text")


def downgrade() -> None:
    """Drop them."""
    for column in _COLUMNS:
        op.execute(f"ALTER TABLE history DROP COLUMN {column}")
