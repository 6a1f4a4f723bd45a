"""Keys of people, by which the river is sealed: whoever is erased loses theirs.

Of a key that was deleted its name stays, so that a record sealed with it is known for what it is.
`river_sealed` says since when each partition's facts are published sealed: NULL from the first on.
"""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"

_STATEMENTS = (
    """
    CREATE TABLE person_key (
        id uuid PRIMARY KEY,
        workspace text NOT NULL,
        profile_id uuid,
        since bigint NOT NULL,
        wrapped bytea,
        erased_at timestamptz,
        CHECK ((wrapped IS NULL) = (profile_id IS NULL)),
        CHECK ((wrapped IS NULL) = (erased_at IS NOT NULL))
    )
    """,
    """
    CREATE UNIQUE INDEX person_key_profile ON person_key (profile_id)
    WHERE profile_id IS NOT NULL
    """,
    "CREATE TABLE river_sealed (partition integer PRIMARY KEY, since timestamptz)",
    "ALTER TABLE river_copy ADD COLUMN sealed boolean NOT NULL DEFAULT false",
)


def upgrade() -> None:
    """Create the tables; nothing is sealed yet."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them: what was published sealed can never be read again."""
    op.execute("ALTER TABLE river_copy DROP COLUMN sealed")
    op.execute("DROP TABLE person_key, river_sealed")
