"""Stage entries, and the figures kept of them."""

from __future__ import annotations

from alembic import op

from clm_common.store.upgrading import create_fence, drop_fence

revision = "0001"
down_revision = None

_TABLES = (
    """
    CREATE TABLE workspace (
        key text COLLATE "C" PRIMARY KEY,
        time_zone text NOT NULL,
        revision integer NOT NULL
    )
    """,
    "COMMENT ON TABLE workspace IS 'By which days, and which meaning, its figures are counted'",
    """
    CREATE TABLE stage_entry (
        profile_id uuid NOT NULL,
        lifecycle text COLLATE "C" NOT NULL,
        workspace text COLLATE "C" NOT NULL,
        id uuid NOT NULL,
        version bigint NOT NULL,
        retracted boolean NOT NULL,
        at timestamptz NOT NULL,
        source text,
        target text NOT NULL,
        cause text,
        PRIMARY KEY (profile_id, lifecycle, workspace, id)
    ) WITH (fillfactor = 90)
    """,
    "COMMENT ON TABLE stage_entry IS 'Per change id the message of the highest version'",
    """
    CREATE TABLE day_figure (
        workspace text COLLATE "C" NOT NULL,
        lifecycle text COLLATE "C" NOT NULL,
        measure text COLLATE "C" NOT NULL,
        day date NOT NULL,
        stage text COLLATE "C" NOT NULL,
        partition integer NOT NULL,
        value bigint NOT NULL,
        PRIMARY KEY (workspace, lifecycle, measure, day, stage, partition)
    ) WITH (fillfactor = 50)
    """,
    "COMMENT ON TABLE day_figure IS 'Sums over people per local day; add up the partitions'",
    """
    CREATE TABLE total_figure (
        workspace text COLLATE "C" NOT NULL,
        lifecycle text COLLATE "C" NOT NULL,
        measure text COLLATE "C" NOT NULL,
        stage text COLLATE "C" NOT NULL,
        partition integer NOT NULL,
        value bigint NOT NULL,
        PRIMARY KEY (workspace, lifecycle, measure, stage, partition)
    ) WITH (fillfactor = 25)
    """,
    "COMMENT ON TABLE total_figure IS 'The same sums over all days; add up the partitions'",
)


def upgrade() -> None:
    """Create everything."""
    create_fence()
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop everything."""
    op.execute("DROP TABLE total_figure, day_figure, stage_entry, workspace")
    drop_fence()
