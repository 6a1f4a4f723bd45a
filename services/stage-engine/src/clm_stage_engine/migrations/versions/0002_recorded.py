"""When each fact was recorded, so that one can ask what was believed at an instant; what is read.

`recorded_at` is the instant of the transaction that wrote the row. Rows from before are given the
nearest thing that is known: the newest receipt among their partition's facts up to them.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_STATEMENTS = (
    "ALTER TABLE stage_change ADD COLUMN recorded_at timestamptz",
    "ALTER TABLE identity_moved ADD COLUMN recorded_at timestamptz",
    "ALTER TABLE identity ADD COLUMN recorded_at timestamptz NOT NULL DEFAULT '-infinity'",
    "ALTER TABLE identity ALTER COLUMN recorded_at SET DEFAULT now()",
    """
    CREATE TEMPORARY TABLE learnt ON COMMIT DROP AS
    SELECT partition, seq, max(received_at) OVER (PARTITION BY partition ORDER BY seq) AS at
    FROM (
        SELECT partition, seq, received_at FROM history
        UNION ALL SELECT partition, seq, NULL FROM stage_change
        UNION ALL SELECT partition, seq, NULL FROM identity_moved
    ) AS fact
    """,
    """
    UPDATE stage_change AS fact SET recorded_at = coalesce(greatest(learnt.at, fact.at), now())
    FROM learnt WHERE learnt.partition = fact.partition AND learnt.seq = fact.seq
    """,
    """
    UPDATE identity_moved AS fact SET recorded_at = coalesce(greatest(learnt.at, fact.at), now())
    FROM learnt WHERE learnt.partition = fact.partition AND learnt.seq = fact.seq
    """,
    *(
        f"ALTER TABLE {table} ALTER COLUMN recorded_at SET DEFAULT now(), "
        "ALTER COLUMN recorded_at SET NOT NULL"
        for table in ("stage_change", "identity_moved")
    ),
    "DROP INDEX stage_change_seq",
    "CREATE INDEX stage_change_seq ON stage_change (partition, seq)",
    "CREATE INDEX identity_moved_profile ON identity_moved (profile_id)",
    "CREATE INDEX identity_moved_identity ON identity_moved (identity_id, recorded_at)",
    """
    CREATE INDEX profile_stage ON profile (workspace, stage, stage_since, id)
    WHERE stage IS NOT NULL
    """,
)


def upgrade() -> None:
    """Add the column and the indexes."""
    op.execute("SET LOCAL transaction_timeout = 0")
    for statement in _STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """Take them away."""
    op.execute("DROP INDEX profile_stage, identity_moved_identity, identity_moved_profile")
    op.execute("DROP INDEX stage_change_seq")
    op.execute(
        "CREATE INDEX stage_change_seq ON stage_change USING brin (seq) WITH (autosummarize = on)"
    )
    for table in ("identity", "identity_moved", "stage_change"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN recorded_at")
