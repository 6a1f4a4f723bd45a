"""Routes about people: find them, look at one, now or as they were."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from clm_common.contracts.ids import ANONYMOUS_ID, USER_ID
from clm_common.errors import Rejected
from clm_common.runtime.handler import Connection
from clm_stage_engine.api.parts import (
    Address,
    Asked,
    Behind,
    Instant,
    Limit,
    Place,
    Reader,
    Recorded,
    Subject,
    Word,
    unknown,
    unknown_stage,
)
from clm_stage_engine.core.identifiers import Identifiers
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.cursor import Page
from clm_stage_engine.queries import attributes, profiles
from clm_stage_engine.queries.sight import Sight
from clm_stage_engine.views import IdentityPage, Profile, ProfilePage

router: Final = APIRouter(tags=["profiles"])


class Paging(BaseModel):
    """Which page."""

    cursor: Place = None
    limit: Limit = 200


class Search(BaseModel):
    """Whom somebody looks for."""

    model_config = ConfigDict(extra="forbid")  # what is misspelt would find everybody

    user_id: Word | None = Field(None, description="The customer's id.")
    anonymous_id: Word | None = Field(None, description="A device's id.")
    identifier: Word | None = Field(
        None,
        description="Any identifier as `kind:value`: `user_id:42`, `email:ada@example.com`, or an "
        "id of another system, `crm:7`. Several people may share one.",
    )
    stage: Word | None = Field(
        None, description="Only who is in it, by key or alias; first come first."
    )
    lifecycle: Word | None = Field(
        None, description="With `stage`: of which lifecycle it is; by default the main one."
    )
    entered_from: Instant | None = Field(
        None, description="With `stage`: only who entered it then or later."
    )
    entered_until: Instant | None = Field(
        None, description="With `stage`: only who entered it before then."
    )
    cursor: Place = None
    limit: Limit = 100

    def named(self) -> tuple[str, str] | None:
        """Give the one kind and value that somebody is looked for by.

        Raises:
            Rejected: 422; there are several, or it is none.
        """
        short = {USER_ID: self.user_id, ANONYMOUS_ID: self.anonymous_id}
        given = [(kind, value) for kind, value in short.items() if value is not None]
        if self.identifier is not None:
            kind, _, value = self.identifier.partition(":")
            if not (kind and value):
                raise Rejected(
                    422, "identifier.invalid", "write identifier as kind:value, such as user_id:42"
                )
            given.append((kind, value))
        if len(given) > 1:
            raise Rejected(422, "identifier.several", "look for one identifier at a time")
        return given[0] if given else None


@router.get("/v1/profiles", summary="Find profiles")
async def find_profiles(
    who: Reader, behind: Behind, search: Annotated[Search, Query()]
) -> ProfilePage:
    """Find whoever has an identifier, page through a stage, or both, or through all."""
    named, stage = search.named(), search.stage
    entered = search.entered_from, search.entered_until
    if stage is None and entered != (None, None):
        raise Rejected(422, "profiles.stage_missing", "entered_from and entered_until need stage")
    if stage is None and search.lifecycle is not None:
        raise Rejected(422, "profiles.stage_missing", "lifecycle needs stage")
    page = Page(search.cursor, search.limit)
    lifecycle = None
    if stage is not None:
        lifecycle = await behind.lifecycle(who.workspace, search.lifecycle)
    where = None if lifecycle is None or stage is None else _where(lifecycle, stage)
    async with behind.database.connection() as db:
        if named is not None:
            found = await _found(behind.identifiers, db, who.workspace, named, page)
        elif where is None:
            found = await profiles.every(db, who.workspace, page)
        elif behind.beside(where[0]) is None:
            found = await profiles.in_stage(db, who.workspace, where[1], entered, page)
        else:
            found = await profiles.in_stage_beside(db, who.workspace, where, entered, page)
        main = behind.main(who.workspace).key
        await profiles.with_lifecycles(db, main, found.profiles)
    if named is not None and where is not None:
        found.profiles = [it for it in found.profiles if _stands(it, where, entered)]
    if lifecycle is not None and stage is not None and not found.profiles:
        _refuse_unknown(lifecycle, stage)
    return found


def _where(lifecycle: Lifecycle, stage: str) -> tuple[str, str]:
    """Give the keys of a lifecycle and of a stage, which may be named by an alias."""
    return lifecycle.key, lifecycle.names.get(stage, stage)


def _refuse_unknown(lifecycle: Lifecycle, stage: str) -> None:
    """Refuse a stage that is misspelt; asked only where nobody is in it.

    Whoever stays with an earlier version may be in a stage that the present one has no more.
    """
    if stage not in lifecycle.names:
        raise unknown_stage(lifecycle, stage)


def _stands(
    profile: Profile, where: tuple[str, str], entered: tuple[datetime | None, datetime | None]
) -> bool:
    """Tell whether somebody is in a stage, entered in [from, until)."""
    standing = profile.lifecycles.get(where[0])
    if standing is None or standing.stage != where[1]:
        return False
    begin, end = entered
    return (begin is None or begin <= standing.since) and (end is None or standing.since < end)


async def _found(
    identifiers: Identifiers, db: Connection, workspace: str, named: tuple[str, str], page: Page
) -> ProfilePage:
    """Give who has an identifier: one by an id of their own, perhaps several by an attribute."""
    kind, value = named
    if kind in {USER_ID, ANONYMOUS_ID}:
        one = await profiles.named(db, workspace, kind, value)
        return ProfilePage(profiles=[one] if one else [])
    normal = identifiers.normal(kind, value)
    if normal is None:
        return ProfilePage(profiles=[])
    limit = identifiers.limit(kind)
    return await attributes.holders(db, workspace, (kind, normal), limit, page)


@router.get("/v1/profiles/{profile_id}", summary="One profile, now or as it was")
async def get_profile(asked: Asked, behind: Behind, response: Response) -> Profile:
    """Give a profile; the id of one that was merged gives the one it was merged into.

    With `as_of` the stage the person was in at that instant, as is known today; with `recorded`
    what was believed at that instant; with both, what was believed then about then.
    """
    main = behind.main(asked.workspace).key
    async with asked.look() as (db, mine):
        found = await _seen(db, mine, main)
    if found is None:
        if mine.sight.is_present:
            raise unknown(mine.asked)
        raise Rejected(
            404, "profile.not_yet", f"profile {mine.asked} was in no stage yet at that time"
        )
    if mine.id != mine.asked:
        found.merged_into = mine.id
        response.headers["content-location"] = f"/v1/profiles/{mine.id}"
    return found


async def _seen(db: Connection, mine: Subject, main: str) -> Profile | None:
    """Give a profile from where one looks; None where it is in no stage."""
    if not mine.sight.is_present:
        return await profiles.get_at(db, mine.workspace, mine.id, mine.sight, main)
    found = await profiles.get(db, mine.workspace, mine.id)
    await profiles.with_lifecycles(db, main, [] if found is None else [found])
    return found


@router.get("/v1/profiles/{profile_id}/identities", summary="A profile's identifiers")
async def get_identities(
    who: Reader,
    behind: Behind,
    profile_id: UUID,
    written: Recorded,
    page: Annotated[Paging, Query()],
) -> IdentityPage:
    """Give the identifiers that are, or were believed to be, a profile's, by kind and value."""
    asked = Address(behind.database, who.workspace, profile_id, Sight(recorded=written))
    async with asked.look() as (db, mine):
        return await profiles.identities(
            db, mine.workspace, mine.id, written, Page(page.cursor, page.limit)
        )
