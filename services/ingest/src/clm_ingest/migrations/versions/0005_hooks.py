"""Hooks: who may send webhooks where, and the secrets of their signatures, encrypted."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE hook (
            id uuid PRIMARY KEY,
            workspace text NOT NULL,
            name text NOT NULL,
            source uuid NOT NULL REFERENCES source ON DELETE CASCADE,
            mapping text NOT NULL,
            scheme text,
            window_seconds integer NOT NULL CHECK (window_seconds > 0),
            secret bytea,
            previous_secret bytea,
            previous_until timestamptz,
            created_at timestamptz NOT NULL DEFAULT now(),
            disabled_at timestamptz,
            version bigint NOT NULL DEFAULT 1,
            UNIQUE (workspace, name),
            CHECK (scheme IS NOT NULL OR secret IS NULL),
            CHECK (previous_until IS NOT NULL OR previous_secret IS NULL)
        )
        """
    )
    op.execute("CREATE INDEX hook_source ON hook (source)")


def downgrade() -> None:
    op.execute("DROP TABLE hook")
