"""Tracking plans of workspaces and sources, and the counts of what violates them."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE plan (
            workspace text NOT NULL,
            source uuid REFERENCES source ON DELETE CASCADE,
            version bigint NOT NULL DEFAULT 1,
            document json NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now(),
            updated_by text NOT NULL,
            UNIQUE NULLS NOT DISTINCT (workspace, source)
        )
        """
    )
    op.execute("CREATE SEQUENCE plan_version OWNED BY plan.version")
    op.execute("ALTER TABLE plan ALTER COLUMN version SET DEFAULT nextval('plan_version')")
    op.execute(
        """
        CREATE TABLE plan_violation (
            workspace text NOT NULL,
            source text NOT NULL,
            event text NOT NULL,
            version integer NOT NULL,
            path text NOT NULL,
            rule text NOT NULL,
            reaction text NOT NULL,
            count bigint NOT NULL,
            first_seen timestamptz NOT NULL,
            last_seen timestamptz NOT NULL,
            PRIMARY KEY (workspace, source, event, version, path, rule, reaction)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE plan_violation, plan")
