"""The index of the quarantine, and the position of its reader."""

from alembic import op

from clm_common.store.upgrading import create_fence, drop_fence

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    create_fence()
    op.execute(
        """
        CREATE TABLE letter (
            id uuid PRIMARY KEY,
            workspace text,
            source text,
            reason text NOT NULL,
            detail text NOT NULL,
            message_id text,
            at timestamptz NOT NULL,
            topic text,
            size integer NOT NULL,
            truncated boolean NOT NULL,
            dlq_partition integer NOT NULL,
            dlq_offset bigint NOT NULL,
            indexed_at timestamptz NOT NULL DEFAULT now(),
            replayed_at timestamptz,
            replayed_by text
        )
        """
    )
    op.execute("CREATE INDEX letter_page ON letter (workspace, at, id)")
    op.execute("CREATE INDEX letter_reason ON letter (workspace, reason, at, id)")
    op.execute("CREATE INDEX letter_age ON letter (indexed_at)")


def downgrade() -> None:
    op.execute("DROP TABLE letter")
    drop_fence()
