"""Migrations: Alembic per service, in the service's own schema, from the service's own package.

Each service keeps its revisions in `<package>/migrations/versions/`. `migrate` brings a schema to
the newest one under an advisory lock, so that any number of processes may start at once.
"""

from __future__ import annotations

import zlib
from importlib.resources import files
from typing import Any, Final

import structlog
from alembic import op
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import text

from clm_common.errors import DefinitionError
from clm_common.store.database import Database
from clm_common.store.faults import translated
from clm_common.store.offsets import TABLES

log = structlog.get_logger()

VERSION_TABLE: Final = "alembic_version"

_LONGEST: Final = 600.0  # seconds; a migration may take long on a large table


async def migrate(
    database_url: str | SecretStr, *, package: str, schema: str, revision: str = "head"
) -> None:
    """Bring a service's schema to its newest revision; does nothing where it is there already.

    Args:
        database_url: where PostgreSQL is.
        package: the service's package, for example `clm_ingest`.
        schema: the service's schema, for example `ingest`; made where it is missing.
        revision: an earlier one to stop at, for tests of what comes after it.

    Raises:
        Unavailable: PostgreSQL is away; nothing was changed.
        DefinitionError: the schema is at a revision that this version does not know.
    """
    script = _script(package)
    name = f"{schema}-migrations"
    async with Database(
        database_url, schema=schema, name=name, seconds=_LONGEST, size=1
    ) as database:
        with translated():
            async with database.engine.begin() as connection:
                await connection.run_sync(_upgrade, script, schema, revision)


async def check(database: Database, *, package: str) -> None:
    """Return if a schema is at its newest revision.

    Args:
        database: the service's database.
        package: the service's package.

    Raises:
        DefinitionError: it is at another one; run the migrations.
        Unavailable: PostgreSQL is away.
    """
    head = _script(package).get_current_head()
    async with database.connection() as raw:
        there = await raw.fetchval("SELECT to_regclass($1)", f"{database.schema}.{VERSION_TABLE}")
        found = await raw.fetchval(f"SELECT version_num FROM {VERSION_TABLE}") if there else None  # noqa: S608 - a constant
    if found != head:
        raise DefinitionError(
            "migrations.pending",
            f"schema {database.schema} is at revision {found}, this version needs {head}: migrate",
            found=found,
            needed=head,
        )


def create_fence() -> None:
    """Create the tables of the fence and the leases; called by a service's first revision."""
    for table in TABLES:
        op.execute(table)


def drop_fence() -> None:
    """Drop the tables of the fence and the leases; called by a first revision's downgrade."""
    op.execute("DROP TABLE consumer_partition, worker")


def _script(package: str) -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(files(package) / "migrations"))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def _upgrade(
    connection: SyncConnection, script: ScriptDirectory, schema: str, revision: str
) -> None:
    """Upgrade inside the open transaction; the lock is held until its end."""
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
