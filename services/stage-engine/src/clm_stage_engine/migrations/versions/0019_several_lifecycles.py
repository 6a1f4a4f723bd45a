"""Several lifecycles at once: which run beside the main one, and where people stand in them."""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"

_STATEMENTS = (
    # One sequence numbers whatever everybody is folded again for: `lifecycle_sweep` names it.
    """
    CREATE TABLE lifecycle_run (
        id bigint PRIMARY KEY
            DEFAULT nextval(pg_get_serial_sequence('lifecycle_publication', 'id')),
        workspace text,
        key text NOT NULL,
        action text NOT NULL CHECK (action IN ('start', 'stop')),
        began timestamptz,
        author text NOT NULL,
        note text NOT NULL,
        at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX lifecycle_run_key ON lifecycle_run (key, workspace, id)",
    """
    CREATE TABLE profile_standing (
        profile_id uuid NOT NULL,
        lifecycle text COLLATE "C" NOT NULL,
        workspace text NOT NULL,
        stage text NOT NULL,
        stage_since timestamptz NOT NULL,
        definition text NOT NULL,
        state bytea NOT NULL,
        PRIMARY KEY (profile_id, lifecycle)
    ) WITH (fillfactor = 80)
    """,
    """
    CREATE INDEX profile_standing_stage
    ON profile_standing (workspace, lifecycle, stage, stage_since, profile_id)
    """,
)


def upgrade() -> None:
    """Create the tables; nothing runs beside the main lifecycle yet."""
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Drop them; what was published of other lifecycles goes when its person is folded again."""
    op.execute("DROP TABLE profile_standing, lifecycle_run")
