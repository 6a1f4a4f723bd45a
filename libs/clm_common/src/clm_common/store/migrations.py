"""Migrations: Alembic per service, in the service's own schema, from the service's own package.

Each service keeps its revisions in `<package>/migrations/versions/`. `migrate` brings a schema to
the newest one under an advisory lock, so that any number of processes may start at once.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final

from pydantic import SecretStr

from clm_common.errors import DefinitionError
from clm_common.store.database import Database
from clm_common.store.faults import translated

VERSION_TABLE: Final = "alembic_version"

_REVISION: Final = re.compile(r'^(down_)?revision = (?:"(.+)"|None)$', re.MULTILINE)
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
    wanted = newest(package) if revision == "head" else revision
    name = f"{schema}-migrations"
    async with Database(
        database_url, schema=schema, name=name, seconds=_LONGEST, size=1
    ) as database:
        if await _found(database) == wanted:
            return
        from clm_common.store.upgrading import upgrade

        with translated():
            await upgrade(database, package, revision)


async def check(database: Database, *, package: str) -> None:
    """Return if a schema is at its newest revision.

    Args:
        database: the service's database.
        package: the service's package.

    Raises:
        DefinitionError: it is at another one; run the migrations.
        Unavailable: PostgreSQL is away.
    """
    head, found = newest(package), await _found(database)
    if found != head:
        raise DefinitionError(
            "migrations.pending",
            f"schema {database.schema} is at revision {found}, this version needs {head}: migrate",
            found=found,
            needed=head,
        )


def newest(package: str) -> str:
    """Read in a service's files which revision is its newest; they are not run for it.

    Raises:
        DefinitionError: there is not exactly one that no other follows.
    """
    known, followed = set[str](), set[str]()
    for file in (files(package) / "migrations" / "versions").iterdir():
        if file.name.endswith(".py"):
            for down, name in _REVISION.findall(file.read_text("utf-8")):
                (followed if down else known).add(name)
    heads = sorted(known - followed)
    if len(heads) != 1:
        raise DefinitionError(
            "migrations.heads", f"{package}: one revision must be the newest, not {heads}"
        )
    return heads[0]


async def _found(database: Database) -> str | None:
    """Give the revision that a schema is at."""
    async with database.connection() as raw:
        there = await raw.fetchval("SELECT to_regclass($1)", f"{database.schema}.{VERSION_TABLE}")
        query = f"SELECT version_num FROM {VERSION_TABLE}"  # noqa: S608 - a constant
        found: str | None = await raw.fetchval(query) if there else None
        return found
