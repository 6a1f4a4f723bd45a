"""Identities, profiles, and the facts that are both the history and the outbox."""

from __future__ import annotations

from alembic import op

from clm_common.store.upgrading import create_fence, drop_fence

revision = "0001"
down_revision = None

_TABLES = (
    """
    CREATE TABLE identity (
        id uuid PRIMARY KEY,
        workspace text NOT NULL,
        kind text NOT NULL,
        value text NOT NULL,
        profile_id uuid NOT NULL,
        link_time timestamptz,
        link_message text,
        link_user uuid
    )
    """,
    "CREATE INDEX identity_profile ON identity (profile_id)",
    """
    CREATE TABLE profile (
        id uuid PRIMARY KEY,
        workspace text NOT NULL,
        version bigint NOT NULL,
        home integer NOT NULL,
        user_id text,
        touchpoints bigint NOT NULL,
        stage text,
        stage_since timestamptz,
        first_seen timestamptz,
        last_seen timestamptz,
        definition text NOT NULL,
        state bytea,
        wake_at timestamptz
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX profile_wake ON profile (home, wake_at) WHERE wake_at IS NOT NULL",
    """
    CREATE TABLE history (
        partition integer NOT NULL,
        seq bigint NOT NULL,
        identity_id uuid NOT NULL,
        profile_id uuid NOT NULL,
        version bigint NOT NULL,
        time timestamptz NOT NULL,
        received_at timestamptz NOT NULL,
        untimed boolean NOT NULL,
        source text NOT NULL,
        message_id text NOT NULL,
        body bytea NOT NULL
    )
    """,
    "CREATE INDEX history_identity ON history (identity_id, time)",
    "CREATE INDEX history_untimed ON history (identity_id, message_id) WHERE untimed",
    "CREATE INDEX history_seq ON history USING brin (seq) WITH (autosummarize = on)",
    """
    CREATE TABLE stage_change (
        partition integer NOT NULL,
        seq bigint NOT NULL,
        id uuid NOT NULL,
        workspace text NOT NULL,
        profile_id uuid NOT NULL,
        version bigint NOT NULL,
        lifecycle text NOT NULL,
        definition text NOT NULL,
        source text,
        target text NOT NULL,
        move text NOT NULL,
        at timestamptz NOT NULL,
        cause text,
        user_id text,
        retracted boolean NOT NULL
    )
    """,
    "CREATE INDEX stage_change_profile ON stage_change (profile_id, at)",
    "CREATE INDEX stage_change_seq ON stage_change USING brin (seq) WITH (autosummarize = on)",
    """
    CREATE TABLE identity_moved (
        partition integer NOT NULL,
        seq bigint NOT NULL,
        workspace text NOT NULL,
        profile_id uuid NOT NULL,
        version bigint NOT NULL,
        identity_id uuid NOT NULL,
        from_profile uuid NOT NULL,
        to_profile uuid NOT NULL,
        at timestamptz NOT NULL,
        emptied boolean NOT NULL,
        PRIMARY KEY (partition, seq)
    )
    """,
)


def upgrade() -> None:
    """Create everything."""
    create_fence()
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop everything."""
    for table in ("identity_moved", "stage_change", "history", "profile", "identity"):
        op.execute(f"DROP TABLE {table}")
    drop_fence()
