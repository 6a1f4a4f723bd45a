"""What every route needs: who asks, what stands behind the API, and whose profile it is about."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Query, Request
from msgspec import Struct
from pydantic import AfterValidator, StringConstraints

from clm_common.bus.ports import Producer
from clm_common.clock import Clock
from clm_common.errors import Rejected
from clm_common.instant import to_datetime
from clm_common.runtime.handler import Connection
from clm_common.runtime.tokens import Principal, require
from clm_common.store.database import Database
from clm_stage_engine.core.identifiers import Identifiers
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.governing import Board
from clm_stage_engine.live import Hub
from clm_stage_engine.posting import Poster
from clm_stage_engine.queries import sight as sights
from clm_stage_engine.queries.sight import FOREVER, PRESENT, Sight
from clm_stage_engine.store.keys import Keys
from clm_stage_engine.store.webhooks import Webhooks

Reader = Annotated[Principal, Depends(require("profiles:read"))]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
_YEARS: Final = range(1000, 9999)  # far from the ends of the calendar, whatever the offset

Place = Annotated[str | None, Query(description="`next` of the page before.", max_length=2000)]

Word = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=1000)]
"""A name or an id: what PostgreSQL can hold."""


def _in_utc(moment: datetime) -> datetime:
    """Take an instant without an offset for UTC; refuse those at the ends of the calendar."""
    if moment.year not in _YEARS:
        raise ValueError("the year must lie between 1000 and 9998")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Instant = Annotated[datetime, AfterValidator(_in_utc)]
"""A date and time; without an offset it is UTC."""

Of = Annotated[
    Word | None,
    Query(description="Of which lifecycle, by its key; by default the main one.", max_length=100),
]

_AHEAD: Final = timedelta(minutes=1)  # clocks differ


class Outgoing(Struct, frozen=True):
    """What stands behind the routes of webhooks.

    Attributes:
        webhooks: keeps them.
        poster: posts what is to try one out.
    """

    webhooks: Webhooks
    poster: Poster


class Parts(Struct, frozen=True):
    """What stands behind the API.

    Attributes:
        database: stage-engine's schema.
        clock: tells what lies in the future.
        board: says which definition decides about whom.
        live: hands out what happens.
        producer: publishes what somebody decided.
        identifiers: tells how identifiers are looked for.
        outgoing: keeps and posts webhooks.
        keys: gives the keys that seal the river.
    """

    database: Database
    clock: Clock
    board: Board
    live: Hub
    producer: Producer
    identifiers: Identifiers
    outgoing: Outgoing
    keys: Keys

    def main(self, workspace: str) -> Lifecycle:
        """Give the main lifecycle of a workspace's people, but for those of a canary."""
        return self.board.rules.main(workspace).lifecycle

    async def lifecycle(self, workspace: str, key: str | None) -> Lifecycle:
        """Give a lifecycle that decides about a workspace's people, but for those of a canary.

        By default the main one. To be called without a connection: it may read by one of its own.

        Raises:
            Rejected: 404; it does not run in this workspace.
            Unavailable: it is not known to run, and PostgreSQL is away.
        """
        found = await self.board.running(workspace, key)
        if found is None:
            runs = ", ".join(self.runs(workspace))
            message = f"{key} does not run in this workspace; running: {runs}"
            raise Rejected(404, "lifecycle.not_running", message)
        return found.lifecycle

    def runs(self, workspace: str) -> list[str]:
        """Give the keys of the lifecycles that run in a workspace, the main one first."""
        rules = self.board.rules
        return [rules.default.lifecycle.key, *(it.key for it in rules.beside(workspace))]

    def stages(self, workspace: str, lifecycle: str, name: str) -> tuple[str, ...]:
        """Give the keys that a stage has, named by key or alias: other versions have other ones.

        Args:
            workspace: whose people.
            lifecycle: the key of one that runs there.
            name: the stage's.

        Raises:
            Rejected: 404; no version that decides about somebody knows it.
        """
        every = self.board.rules.definitions(workspace, lifecycle)
        found = tuple(dict.fromkeys(it.names[name] for it in every if name in it.names))
        if not found:
            raise unknown_stage(every[0], name)
        return found

    def beside(self, key: str) -> str | None:
        """Give the key of a lifecycle beside the main one; None of the main one."""
        return None if key == self.board.rules.default.lifecycle.key else key


def unknown_stage(lifecycle: Lifecycle, name: str) -> Rejected:
    """Say that a lifecycle has no such stage, and which it has."""
    known = ", ".join(it.key for it in lifecycle.stages)
    message = f"{lifecycle.key} has no stage {name!r}; its stages: {known}"
    return Rejected(404, "stage.unknown", message)


def parts(request: Request) -> Parts:
    """Give what stands behind the API; a dependency."""
    found: Parts = request.app.state.parts
    return found


Behind = Annotated[Parts, Depends(parts)]


def _past(behind: Parts, name: str, moment: datetime | None) -> datetime:
    """Read an instant that lies in the past; None stands for no limit.

    Raises:
        Rejected: it lies in the future.
    """
    if moment is None:
        return FOREVER
    now = to_datetime(behind.clock.now())
    if moment > now + _AHEAD:
        message = f"{name} lies in the future; nobody knows yet"
        raise Rejected(422, f"{name}.future", message, now=now)
    return moment


async def recorded(
    behind: Behind,
    recorded: Annotated[
        Instant | None,
        Query(description="Recorded time: leave out what was written down later."),
    ] = None,
) -> datetime:
    """Read up to when what was written down counts; a dependency."""
    return _past(behind, "recorded", recorded)


Recorded = Annotated[datetime, Depends(recorded)]


async def sight(
    behind: Behind,
    written: Recorded,
    as_of: Annotated[
        Instant | None,
        Query(description="Valid time: leave out what happened later. Without an offset: UTC."),
    ] = None,
) -> Sight:
    """Read from where somebody looks back; a dependency."""
    return Sight(_past(behind, "as_of", as_of), written)


Looking = Annotated[Sight, Depends(sight)]


class Subject(Struct, frozen=True):
    """Whose profile a route is about.

    Attributes:
        workspace: the token's.
        asked: the id in the address.
        id: the profile that this id belongs, or belonged, to.
        sight: from where one looks back.
    """

    workspace: str
    asked: UUID
    id: UUID
    sight: Sight


class Address(Struct, frozen=True):
    """An id in an address, which nobody has looked up yet.

    Attributes:
        database: stage-engine's schema.
        workspace: the token's.
        id: the id.
        sight: from where one looks back.
    """

    database: Database
    workspace: str
    id: UUID
    sight: Sight

    @asynccontextmanager
    async def look(self) -> AsyncGenerator[tuple[Connection, Subject]]:
        """Find whose profile the id means, and lend the connection to read more about them.

        Of a profile that was merged it is the one that it was merged into. All that is read within
        the block is read at one instant: nobody is merged, unmerged or erased in between.

        Raises:
            Rejected: 404; there is none, or there was none yet.
        """
        async with self.database.snapshot() as db:
            yield db, await self._found(db)

    async def _found(self, db: Connection) -> Subject:
        owner = await sights.owner(db, self.workspace, self.id, self.sight.recorded)
        if owner is None:
            raise unknown(self.id)
        return Subject(self.workspace, self.id, owner, self.sight)


async def address(who: Reader, behind: Behind, profile_id: UUID, looking: Looking) -> Address:
    """Read whose profile is asked for, and from where; a dependency."""
    return Address(behind.database, who.workspace, profile_id, looking)


async def present(who: Reader, behind: Behind, profile_id: UUID) -> Subject:
    """Find whose profile an id means now; a dependency. See `find`."""
    return await find(behind, who, profile_id)


Asked = Annotated[Address, Depends(address)]
Present = Annotated[Subject, Depends(present)]


async def find(behind: Parts, who: Principal, wanted: UUID) -> Subject:
    """Find whose profile an id means now, for whoever reads nothing more about them."""
    async with look_now(behind, who, wanted) as (_, found):
        return found


def look_now(
    behind: Parts, who: Principal, wanted: UUID
) -> AbstractAsyncContextManager[tuple[Connection, Subject]]:
    """Do what `Address.look` does, as it is now."""
    return Address(behind.database, who.workspace, wanted, PRESENT).look()


def unknown(wanted: UUID) -> Rejected:
    """Give the refusal of an id that nobody has."""
    return Rejected(404, "profile.unknown", f"there is no profile {wanted} in this workspace")
