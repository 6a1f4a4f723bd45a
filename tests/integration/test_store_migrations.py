"""Migrations on a real PostgreSQL: several at once, inside the schema, all or nothing."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from clm_common.errors import DefinitionError, Unavailable
from clm_common.store.database import Database
from clm_common.store.migrations import check, migrate

PACKAGE = "clm_migrated"
SCHEMA = "migrated"

FIRST = """
from clm_common.store.upgrading import create_fence, drop_fence

revision = "0001"
down_revision = None


def upgrade():
    create_fence()


def downgrade():
    drop_fence()
"""
SECOND = """
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("CREATE TABLE visit (id integer PRIMARY KEY)")
    op.execute("{more}")
"""


@pytest.fixture
def revisions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of a service's revisions, with the first one in it."""
    versions = tmp_path / PACKAGE / "migrations" / "versions"
    versions.mkdir(parents=True)
    for folder in (versions.parent, versions.parent.parent):
        (folder / "__init__.py").touch()
    (versions / "0001_first.py").write_text(FIRST)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
    return versions


@pytest.fixture
async def db(database_url: str) -> AsyncGenerator[Database]:
    async with Database(database_url, schema=SCHEMA) as db:
        yield db


async def tables(db: Database) -> set[str]:
    async with db.connection() as raw:
        rows = await raw.fetch(
            "SELECT schemaname || '.' || tablename AS name FROM pg_tables"
            " WHERE schemaname IN ('public', $1)",
            SCHEMA,
        )
    return {row["name"] for row in rows}


@pytest.mark.usefixtures("revisions")
async def test_everything_is_made_inside_the_services_schema(
    db: Database, database_url: str
) -> None:
    await migrate(database_url, package=PACKAGE, schema=SCHEMA)

    assert await tables(db) == {
        "migrated.alembic_version", "migrated.consumer_partition", "migrated.worker",
    }  # fmt: skip
    await check(db, package=PACKAGE)


@pytest.mark.usefixtures("revisions")
async def test_processes_that_start_at_once_migrate_once(db: Database, database_url: str) -> None:
    await asyncio.gather(*[migrate(database_url, package=PACKAGE, schema=SCHEMA) for _ in range(6)])

    await check(db, package=PACKAGE)


async def test_a_newer_version_goes_on_from_the_older(
    db: Database, database_url: str, revisions: Path
) -> None:
    await migrate(database_url, package=PACKAGE, schema=SCHEMA)
    (revisions / "0002_second.py").write_text(SECOND.format(more="SELECT 1"))
    with pytest.raises(DefinitionError, match="0001, this version needs 0002"):
        await check(db, package=PACKAGE)

    await migrate(database_url, package=PACKAGE, schema=SCHEMA)

    assert "migrated.visit" in await tables(db)
    await check(db, package=PACKAGE)


async def test_where_nothing_is_to_do_no_revision_is_run(
    db: Database, database_url: str, revisions: Path
) -> None:
    await migrate(database_url, package=PACKAGE, schema=SCHEMA)
    first = revisions / "0001_first.py"
    first.write_text(f"{FIRST}\n\nraise RuntimeError('it was run')\n")

    await migrate(database_url, package=PACKAGE, schema=SCHEMA)
    await check(db, package=PACKAGE)

    (revisions / "0002_second.py").write_text(SECOND.format(more="SELECT 1"))
    with pytest.raises(RuntimeError, match="it was run"):
        await migrate(database_url, package=PACKAGE, schema=SCHEMA)


async def test_a_revision_that_fails_changes_nothing(
    db: Database, database_url: str, revisions: Path
) -> None:
    (revisions / "0002_second.py").write_text(SECOND.format(more="SELECT 1 / 0"))

    with pytest.raises(Exception, match="division by zero"):
        await migrate(database_url, package=PACKAGE, schema=SCHEMA)

    assert await tables(db) == set()


async def test_a_schema_that_a_newer_version_migrated_is_refused(
    database_url: str, revisions: Path
) -> None:
    newer = revisions / "0002_second.py"
    newer.write_text(SECOND.format(more="SELECT 1"))
    await migrate(database_url, package=PACKAGE, schema=SCHEMA)
    newer.unlink()

    with pytest.raises(DefinitionError, match="0002, which this version does not know"):
        await migrate(database_url, package=PACKAGE, schema=SCHEMA)


@pytest.mark.usefixtures("revisions")
async def test_a_schema_that_was_never_migrated_is_told_so(db: Database) -> None:
    with pytest.raises(DefinitionError, match="at revision None"):
        await check(db, package=PACKAGE)


@pytest.mark.usefixtures("revisions")
async def test_without_a_server_a_migration_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await migrate("postgresql://clm:x@127.0.0.1:1/clm", package=PACKAGE, schema=SCHEMA)
