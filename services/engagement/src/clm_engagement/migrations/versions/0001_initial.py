"""What the river says, the messages planned from it, and who does not want any."""

from __future__ import annotations

from alembic import op

from clm_common.store.upgrading import create_fence

revision = "0001"
down_revision = None

_TABLES = (
    """
    CREATE TABLE identity (
        id uuid PRIMARY KEY,
        workspace text NOT NULL,
        profile_id uuid NOT NULL,
        kind text,
        value text,
        linked_at timestamptz,
        linked_from uuid
    )
    """,
    "CREATE INDEX identity_profile ON identity (profile_id)",
    """
    CREATE TABLE trait (
        identity_id uuid NOT NULL,
        field text NOT NULL,
        value text,
        time timestamptz NOT NULL,
        message_id text NOT NULL,
        PRIMARY KEY (identity_id, field)
    )
    """,
    """
    CREATE TABLE stage_entry (
        id uuid PRIMARY KEY,
        workspace text NOT NULL,
        profile_id uuid NOT NULL,
        version bigint NOT NULL,
        lifecycle text NOT NULL,
        source text,
        target text NOT NULL,
        at timestamptz NOT NULL,
        retracted boolean NOT NULL
    )
    """,
    "CREATE INDEX stage_entry_profile ON stage_entry (profile_id)",
    """
    CREATE TABLE message (
        id uuid PRIMARY KEY,
        workspace text NOT NULL,
        journey text NOT NULL,
        step text NOT NULL,
        channel text NOT NULL,
        enrolment text NOT NULL,
        profile_id uuid NOT NULL,
        cause uuid NOT NULL,
        entered_at timestamptz NOT NULL,
        state text NOT NULL
            CHECK (state IN ('pending', 'sending', 'sent', 'skipped', 'failed', 'unknown')),
        reason text CHECK ((reason IS NOT NULL) = (state IN ('skipped', 'failed', 'unknown'))),
        code text,
        due_at timestamptz CHECK ((due_at IS NOT NULL) = (state = 'pending')),
        waits_for text,
        attempts integer NOT NULL DEFAULT 0,
        lease_until timestamptz CHECK ((lease_until IS NOT NULL) = (state = 'sending')),
        person_id uuid,
        address_hash bytea,
        planned_at timestamptz NOT NULL,
        settled_at timestamptz,
        reported_at timestamptz,
        UNIQUE (profile_id, journey, step, enrolment, workspace),
        CHECK (state NOT IN ('sending', 'sent')
               OR (person_id IS NOT NULL AND address_hash IS NOT NULL))
    ) WITH (fillfactor = 80)
    """,
    # Nobody gets a message twice, not as another profile and not at the same address:
    """
    CREATE UNIQUE INDEX message_person ON message (person_id, journey, step, enrolment, workspace)
    WHERE state IN ('sending', 'sent', 'unknown')
    """,
    """
    CREATE UNIQUE INDEX message_address ON message (address_hash, journey, step, workspace)
    WHERE state IN ('sending', 'sent', 'unknown')
    """,
    "CREATE INDEX message_due ON message (due_at, id) WHERE state = 'pending'",
    "CREATE INDEX message_lease ON message (lease_until) WHERE state = 'sending'",
    """
    CREATE INDEX message_unreported ON message (settled_at)
    WHERE state = 'sent' AND reported_at IS NULL
    """,
    "CREATE INDEX message_listed ON message (workspace, entered_at DESC, id DESC)",
    """
    CREATE TABLE suppression (
        workspace text NOT NULL,
        address_hash bytea NOT NULL,
        reason text NOT NULL,
        message_id uuid,
        created_at timestamptz NOT NULL,
        PRIMARY KEY (address_hash, workspace)
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
    for table in ("suppression", "message", "stage_entry", "trait", "identity"):
        op.execute(f"DROP TABLE {table}")
    drop_fence()
