"""What may be sent with a source's keys, and the version that updates are held against."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE source
            ADD COLUMN policy jsonb,
            ADD COLUMN version bigint NOT NULL DEFAULT 1
        """
    )
    op.execute("CREATE INDEX source_page ON source (workspace, created_at, id)")


def downgrade() -> None:
    op.execute("DROP INDEX source_page")
    op.execute("ALTER TABLE source DROP COLUMN policy, DROP COLUMN version")
