"""A transaction that begins with its first statement: who asks nothing costs nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from clm_common.store.database import Connection, Database


class Asking:
    """What reads may be asked of, as of an asyncpg connection in a transaction."""

    def __init__(self, database: Database, stack: AsyncExitStack) -> None:
        self._database: Final = database
        self._stack: Final = stack
        self._tx: Connection = None

    async def fetch(self, statement: str, *values: object) -> list[Any]:  # Any: asyncpg's rows
        """Give the rows of a statement."""
        found: list[Any] = await (await self._begun()).fetch(statement, *values)
        return found

    async def fetchrow(self, statement: str, *values: object) -> Any:  # Any: asyncpg's row
        """Give the first row of a statement."""
        return await (await self._begun()).fetchrow(statement, *values)

    async def fetchval(self, statement: str, *values: object) -> Any:  # Any: of any column
        """Give the first value of a statement."""
        return await (await self._begun()).fetchval(statement, *values)

    async def execute(self, statement: str, *values: object) -> str:
        """Run a statement and give its status."""
        status: str = await (await self._begun()).execute(statement, *values)
        return status

    async def cursor(self, statement: str, *values: object) -> Any:  # Any: asyncpg's cursor
        """Give what reads the rows of a statement some at a time."""
        return await (await self._begun()).cursor(statement, *values)

    async def _begun(self) -> Connection:
        if self._tx is None:
            self._tx = await self._stack.enter_async_context(self._database.transaction())
        return self._tx


@asynccontextmanager
async def asking(database: Database) -> AsyncGenerator[Asking]:
    """Lend what begins a transaction when it is asked for the first time, and ends it.

    Raises:
        Unavailable: PostgreSQL is away.
    """
    async with AsyncExitStack() as stack:
        yield Asking(database, stack)
