"""The sources and their write keys."""

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE source (
            id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            workspace text NOT NULL,
            name text NOT NULL,
            key_hash bytea NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),
            key_hint text NOT NULL CHECK (char_length(key_hint) = 4),
            previous_hash bytea CHECK (octet_length(previous_hash) = 32),
            previous_until timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            disabled_at timestamptz,
            UNIQUE (workspace, name),
            CHECK ((previous_hash IS NULL) = (previous_until IS NULL))
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE source")
