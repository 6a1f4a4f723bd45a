"""Alembic at work on one schema: what `store.migrations` asks for where there is something to do.

To import Alembic and SQLAlchemy and to run every file of a service's revisions takes longer than
all else that `migrate` does; so this module is imported where a schema is not at its newest
revision.
"""

from __future__ import annotations

import zlib
from importlib.resources import files
from typing import Any

import structlog
from alembic import op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

from clm_common.errors import DefinitionError
from clm_common.store.database import Database
from clm_common.store.migrations import VERSION_TABLE
from clm_common.store.offsets import TABLES

log = structlog.get_logger()


def create_fence() -> None:
    """Create the tables of the fence and the leases; called by a service's first revision."""
    for table in TABLES:
        op.execute(table)


def drop_fence() -> None:
    """Drop the tables of the fence and the leases; called by a first revision's downgrade."""
    op.execute("DROP TABLE consumer_partition, worker")


def script_of(package: str) -> ScriptDirectory:
    """Give what Alembic knows about a service's revisions."""
    config = Config()
    config.set_main_option("script_location", str(files(package) / "migrations"))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


async def upgrade(database: Database, package: str, revision: str) -> None:
    """Bring a schema to a revision in one transaction, on a connection of its own.

    Args:
        database: the service's schema; it is made where it is missing.
        package: the service's package.
        revision: the one to end at.

    Raises:
        DefinitionError: the schema is at a revision that this version does not know.
    """
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=database.connect, poolclass=NullPool
    )
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade, package, database.schema, revision)


def _upgrade(connection: SyncConnection, package: str, schema: str, revision: str) -> None:
    """Upgrade inside the open transaction; the lock is held until its end."""
    script = script_of(package)
    lock = zlib.crc32(f"clm.migrations.{schema}".encode())
    connection.execute(text("SET LOCAL lock_timeout = 0"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": lock})
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
    options: dict[str, Any] = {  # Any: Alembic's own options
        "version_table": VERSION_TABLE,
        "version_table_schema": schema,
        "transactional_ddl": True,
    }
    before = MigrationContext.configure(connection, opts=options).get_current_revision()
    head = script.get_current_head() if revision == "head" else revision
    if before == head:
        return
    _refuse_unknown(script, before, schema)

    def steps(present: Any, _context: MigrationContext) -> Any:  # Any: Alembic's own
        return script._upgrade_revs(revision, present)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - as alembic.command does it

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=connection, **options)
        environment.run_migrations()
    log.info("schema.migrated", schema=schema, before=before, after=head)


def _refuse_unknown(script: ScriptDirectory, revision: str | None, schema: str) -> None:
    """Refuse a schema that a newer version of the service has migrated."""
    known = {each.revision for each in script.walk_revisions()}
    if revision is not None and revision not in known:
        raise DefinitionError(
            "migrations.unknown",
            f"schema {schema} is at revision {revision}, which this version does not know: "
            "start the newer version, or restore a backup",
            found=revision,
        )
