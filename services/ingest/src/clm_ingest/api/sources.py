"""The workspace's sources: their write keys and their policies."""

import secrets
from datetime import datetime
from functools import partial
from typing import Final, Self
from uuid import UUID

from fastapi import FastAPI, Response
from pydantic import Field

from clm_common.errors import Rejected
from clm_common.runtime.models import Answer
from clm_ingest.api.shared import (
    Cursor,
    Document,
    IfMatch,
    Limit,
    Name,
    SourceReader,
    SourceWriter,
    etag,
    follow,
    following,
    versions_of,
    workspace_of,
)
from clm_ingest.core.credentials import KEY_PREFIX, digest_of
from clm_ingest.core.policy import DEFAULT, Policy, SizeLimits
from clm_ingest.keyring import Keyring
from clm_ingest.store import Source, Sources
from clm_ingest.store.cursors import place_of

_DAY: Final = 86_400
_HINT: Final = 4


class NewSource(Document):
    """A source to create."""

    name: Name = Field(description="What people call it; unique in the workspace.")
    policy: Policy = Field(default=DEFAULT, description="What may be sent with its keys.")


class SourceChange(Document):
    """What to change of a source; what is left out stays."""

    name: Name | None = Field(default=None, description="What people call it from now on.")
    policy: Policy | None = Field(
        default=None, description="The whole policy from now on; what it leaves out is the default."
    )


class Rotation(Document):
    """How a key is replaced."""

    grace_seconds: int = Field(
        default=_DAY, ge=0, le=30 * _DAY, description="How long the present key is taken still."
    )


class SourceView(Answer):
    """A source."""

    id: UUID
    name: str
    workspace: str
    key_hint: str = Field(description="The last four characters of its write key.")
    created_at: datetime
    disabled_at: datetime | None = Field(description="Since when its keys are refused.")
    previous_until: datetime | None = Field(
        description="Until when the key before the last rotation is taken."
    )
    version: int = Field(description="Changes with every change; the `ETag` names it.")
    policy: Policy

    @classmethod
    def of(cls, source: Source, **more: object) -> Self:
        """Show a source."""
        fields = {name: getattr(source, name) for name in source.__struct_fields__}
        return cls.model_validate({**fields, **more})


class KeyedSource(SourceView):
    """A source with its new write key, which is shown this once."""

    write_key: str


class SourcePage(Answer):
    """A workspace's sources, oldest first."""

    sources: list[SourceView]
    next: str | None = Field(
        default=None, description="The `cursor` of the next page, if there is one."
    )


class SourceRoutes:
    """The routes below `/v1/admin/sources`."""

    def __init__(self, sources: Sources, keyring: Keyring, most: SizeLimits) -> None:
        """Make them.

        Args:
            sources: the table of sources.
            keyring: the keys in memory, read again after a change.
            most: the service's own sizes; no policy goes beyond them.
        """
        self._sources = sources
        self._keyring = keyring
        self._most = most

    def add_to(self, app: FastAPI) -> None:
        """Add them to an app."""
        base, one = "/v1/admin/sources", "/v1/admin/sources/{source_id}"
        add = partial(app.add_api_route, tags=["sources"])
        add(base, self.list_sources, methods=["GET"], summary="The workspace's sources")
        add(base, self.create_source, methods=["POST"], status_code=201, summary="Create a source")
        add(one, self.get_source, methods=["GET"], summary="One source")
        add(
            one, self.update_source, methods=["PATCH"], summary="Rename a source, or set its policy"
        )
        add(f"{one}/rotate", self.rotate_key, methods=["POST"], summary="Replace a write key")
        add(f"{one}/disable", self.disable_source, methods=["POST"], summary="Disable a source")
        add(f"{one}/enable", self.enable_source, methods=["POST"], summary="Enable a source")

    async def list_sources(
        self, who: SourceReader, cursor: Cursor = None, limit: Limit = 100
    ) -> SourcePage:
        """List them, disabled ones included; keys are never shown again."""
        after = place_of(cursor)
        found = await self._sources.list(who.workspace, after=after, limit=limit + 1)
        page = [SourceView.of(source) for source in found[:limit]]
        return SourcePage(sources=page, next=following(found, limit))

    async def get_source(
        self, who: SourceReader, source_id: UUID, response: Response
    ) -> SourceView:
        """Give one, with the `ETag` that an update may name."""
        return _shown(await self._sources.get(who.workspace, source_id), response)

    async def create_source(
        self, who: SourceWriter, new: NewSource, response: Response
    ) -> KeyedSource:
        """Create it; its write key is shown in this answer and never again."""
        key = _new_key()
        self._check(new.policy)
        source = await self._sources.create(
            workspace_of(who), new.name, digest_of(key), key[-_HINT:], policy=new.policy
        )
        await follow(self._keyring)
        response.headers.update(etag(source.version))
        return KeyedSource.of(source, write_key=key)

    async def update_source(
        self,
        who: SourceWriter,
        source_id: UUID,
        change: SourceChange,
        response: Response,
        if_match: IfMatch = None,
    ) -> SourceView:
        """Change its name or its policy; every process acts by it within two seconds."""
        self._check(change.policy)
        source = await self._sources.update(
            who.workspace,
            source_id,
            name=change.name,
            policy=change.policy,
            versions=versions_of(if_match),
        )
        await follow(self._keyring)
        return _shown(source, response)

    async def rotate_key(
        self,
        who: SourceWriter,
        source_id: UUID,
        response: Response,
        rotation: Rotation | None = None,
    ) -> KeyedSource:
        """Give the source a new key; the present one is taken until the grace ends."""
        key = _new_key()
        source = await self._sources.rotate(
            who.workspace,
            source_id,
            digest_of(key),
            key[-_HINT:],
            grace=(rotation or Rotation()).grace_seconds,
        )
        await follow(self._keyring)
        response.headers.update(etag(source.version))
        return KeyedSource.of(source, write_key=key)

    async def disable_source(
        self, who: SourceWriter, source_id: UUID, response: Response
    ) -> SourceView:
        """Refuse its keys from now on, in every process within two seconds."""
        source = await self._sources.disable(who.workspace, source_id)
        await follow(self._keyring)
        return _shown(source, response)

    async def enable_source(
        self, who: SourceWriter, source_id: UUID, response: Response
    ) -> SourceView:
        """Take its keys again."""
        source = await self._sources.enable(who.workspace, source_id)
        await follow(self._keyring)
        return _shown(source, response)

    def _check(self, policy: Policy | None) -> None:
        """Refuse sizes above the service's own.

        Raises:
            Rejected: 422.
        """
        if policy is None:
            return
        for name, wanted in policy.limits.model_dump(exclude_none=True).items():
            limit = getattr(self._most, name)
            if wanted > limit:
                detail = f"policy.limits.{name} may be {limit:,}, the service's own, not {wanted:,}"
                raise Rejected(422, "policy.beyond_service", detail, limit=limit)


def _shown(source: Source, response: Response) -> SourceView:
    response.headers.update(etag(source.version))
    return SourceView.of(source)


def _new_key() -> str:
    return KEY_PREFIX + secrets.token_urlsafe(24)
