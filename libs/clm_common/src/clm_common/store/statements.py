"""The statements of the leases (see `store.offsets`), each a transaction of its own."""

from __future__ import annotations

from typing import Final

# NOT EXISTS because ON CONFLICT alone would wait for whoever has the row locked.
JOIN: Final = """
    WITH stale AS (
        DELETE FROM worker WHERE topic = $1 AND seen_until < clock_timestamp() - interval '1 day'
    )
    INSERT INTO consumer_partition (topic, partition)
    SELECT $1, each
    FROM generate_series(0, $2::integer - 1) AS each
    WHERE NOT EXISTS (
        SELECT FROM consumer_partition WHERE topic = $1 AND partition = each
    )
    ON CONFLICT DO NOTHING
"""

# Nobody can renew a lease while the server is down: after its start each one lasts once more.
_NOW: Final = """
    now AS MATERIALIZED (
        SELECT at, pg_postmaster_start_time() + $3::interval > at AS just_started
        FROM clock_timestamp() AS at
    )"""

BEAT: Final = f"""
    WITH {_NOW},
    present AS (
        INSERT INTO worker (topic, id, seen_until)
        SELECT $1, $2, at + $3::interval FROM now
        ON CONFLICT (topic, id) DO UPDATE SET seen_until = excluded.seen_until
    ),
    mine AS (
        SELECT partition
        FROM consumer_partition
        JOIN unnest($4::integer[], $5::bigint[]) AS claim (partition, epoch)
            USING (partition, epoch)
        WHERE topic = $1 AND owner = $2
        FOR UPDATE OF consumer_partition SKIP LOCKED
    ),
    renewed AS (
        UPDATE consumer_partition AS row
        SET lease_until = at + $3::interval
        FROM now, mine
        WHERE row.topic = $1 AND row.partition = mine.partition
    )
    SELECT partition, epoch, owner, lease_until > at OR just_started AS live
    FROM consumer_partition, now
    WHERE topic = $1 AND owner IS NOT NULL
    UNION ALL
    SELECT NULL, NULL, id, TRUE
    FROM worker, now
    WHERE topic = $1 AND (seen_until > at OR just_started)
"""  # noqa: S608 - made of constants

TAKE: Final = f"""
    WITH {_NOW},
    free AS (
        SELECT partition
        FROM consumer_partition, now
        WHERE topic = $1
            AND (owner IS NULL OR lease_until <= at AND NOT just_started)
            AND partition <> ALL ($4::integer[])
        ORDER BY owner IS NOT NULL, partition
        LIMIT $5
        FOR UPDATE OF consumer_partition SKIP LOCKED
    )
    UPDATE consumer_partition AS row
    SET owner = $2, epoch = row.epoch + 1, lease_until = at + $3::interval
    FROM now, free
    WHERE row.topic = $1 AND row.partition = free.partition
    RETURNING row.partition, row.epoch, row.next_offset, row.next_seq
"""  # noqa: S608 - made of constants

END_SESSIONS: Final = """
    SELECT pg_terminate_backend(pid, 500)
    FROM pg_stat_activity
    WHERE application_name = ANY ($1::text[])
        AND usename = current_user AND datname = current_database()
"""

FREE: Final = """
    UPDATE consumer_partition AS row
    SET owner = NULL, epoch = row.epoch + 1, lease_until = NULL
    FROM unnest($3::integer[], $4::bigint[]) AS claim (partition, epoch)
    WHERE row.topic = $1 AND row.owner = $2
        AND row.partition = claim.partition AND row.epoch = claim.epoch
"""

LEAVE: Final = "DELETE FROM worker WHERE topic = $1 AND id = $2"
