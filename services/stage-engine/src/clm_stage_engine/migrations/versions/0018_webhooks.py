"""Outgoing webhooks: subscriptions, how far each has come, and what is to be delivered."""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0014"

_TABLES = (
    """
    CREATE TABLE webhook (
        number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
        id uuid PRIMARY KEY,
        workspace text NOT NULL,
        name text NOT NULL,
        url text NOT NULL,
        filter text NOT NULL,
        secret bytea NOT NULL,
        previous_secret bytea,
        previous_until timestamptz,
        disabled text,
        created_at timestamptz NOT NULL DEFAULT now(),
        UNIQUE (workspace, name)
    )
    """,
    """
    CREATE TABLE webhook_position (
        webhook_id uuid NOT NULL REFERENCES webhook ON DELETE CASCADE,
        partition integer NOT NULL,
        seq bigint NOT NULL,
        PRIMARY KEY (webhook_id, partition)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE webhook_delivery (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        webhook_id uuid NOT NULL REFERENCES webhook ON DELETE CASCADE,
        partition integer NOT NULL,
        seq bigint NOT NULL,
        profile_id uuid NOT NULL,
        name text NOT NULL,
        planned_at timestamptz NOT NULL DEFAULT now(),
        state text NOT NULL DEFAULT 'waiting',
        attempts integer NOT NULL DEFAULT 0,
        due_at timestamptz NOT NULL DEFAULT now(),
        claimed boolean NOT NULL DEFAULT false,
        last_at timestamptz,
        status integer,
        reason text,
        UNIQUE (webhook_id, partition, seq)
    )
    """,
    "CREATE INDEX webhook_delivery_due ON webhook_delivery (webhook_id, due_at, id) "
    "WHERE state = 'waiting'",
    "CREATE INDEX webhook_delivery_person ON webhook_delivery (profile_id, webhook_id)",
    "CREATE INDEX webhook_delivery_settled ON webhook_delivery (last_at) WHERE state <> 'waiting'",
)


def upgrade() -> None:
    """Create the tables."""
    for statement in _TABLES:
        op.execute(statement)


def downgrade() -> None:
    """Drop them."""
    op.execute("DROP TABLE webhook_delivery, webhook_position, webhook")
