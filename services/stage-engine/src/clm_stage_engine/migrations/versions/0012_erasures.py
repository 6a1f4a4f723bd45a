"""Erasures: who asked for one, what was done, who has answered, and who must stay out.

`erasure` is the receipt, and until `done_at` the request that the partition's owner looks for.
`profile_erased` holds the facts that are published, as long as old messages may be about.
`erased_identity` holds salted hashes only.
"""

from __future__ import annotations

import secrets

from alembic import op

revision = "0012"
down_revision = "0011"

_TABLES = (
    """
    CREATE TABLE erasure (
        id uuid PRIMARY KEY,
        workspace text NOT NULL,
        partition integer NOT NULL,
        profile_id uuid,
        reason text NOT NULL,
        author text NOT NULL,
        asked_at timestamptz NOT NULL,
        done_at timestamptz,
        parts integer,
        touchpoints bigint,
        topics jsonb
    )
    """,
    "CREATE INDEX erasure_waiting ON erasure (partition, asked_at) WHERE done_at IS NULL",
    "CREATE UNIQUE INDEX erasure_asked ON erasure (profile_id) WHERE done_at IS NULL",
    "CREATE INDEX erasure_untold ON erasure (done_at) WHERE topics IS NULL",
    """
    CREATE TABLE erasure_answer (
        erasure uuid NOT NULL,
        service text NOT NULL,
        part integer NOT NULL,
        done_at timestamptz NOT NULL,
        PRIMARY KEY (erasure, service, part)
    )
    """,
    """
    CREATE TABLE profile_erased (
        partition integer NOT NULL,
        seq bigint NOT NULL,
        workspace text NOT NULL,
        profile_id uuid NOT NULL,
        version bigint NOT NULL,
        erasure uuid NOT NULL,
        part integer NOT NULL,
        parts integer NOT NULL,
        at timestamptz NOT NULL,
        PRIMARY KEY (partition, seq)
    )
    """,
    """
    CREATE TABLE erased_identity (
        hash bytea PRIMARY KEY,
        until timestamptz NOT NULL,
        partition integer NOT NULL,
        seq bigint NOT NULL
    )
    """,
    "CREATE INDEX erased_identity_seq ON erased_identity (partition, seq)",
    """
    CREATE TABLE river_copy (
        topic text PRIMARY KEY,
        begun_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE TABLE erasure_salt (salt bytea NOT NULL)",
)


def upgrade() -> None:
    """Create everything, and the salt, once."""
    for statement in _TABLES:
        op.execute(statement)
    op.execute(f"INSERT INTO erasure_salt VALUES ('\\x{secrets.token_hex(32)}')")  # noqa: S608 - hexadecimal digits of our own


def downgrade() -> None:
    """Drop everything; who was erased may come back by old events."""
    op.execute(
        "DROP TABLE erasure, erasure_answer, profile_erased, erased_identity, river_copy, "
        "erasure_salt"
    )
