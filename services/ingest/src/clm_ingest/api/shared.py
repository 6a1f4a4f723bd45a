"""What the routes of the admin API share: who may ask, names, pages and versions."""

import contextlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, Protocol
from uuid import UUID

from fastapi import Depends, Header, Query
from pydantic import BaseModel, ConfigDict, StringConstraints

from clm_common.errors import Rejected, Unavailable
from clm_common.runtime.tokens import Principal, require
from clm_ingest.keyring import Keyring
from clm_ingest.store.cursors import Place

SourceReader = Annotated[Principal, Depends(require("sources:read"))]
SourceWriter = Annotated[Principal, Depends(require("sources:write"))]
Name = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$"
    ),
]
Cursor = Annotated[str | None, Query(max_length=200, description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        max_length=200,
        description="The `ETag` of what is to be changed; it is refused with 412 if it has "
        "changed since. Left out, or `*`: whatever there is.",
    ),
]

_TAG: Final = re.compile(r'(?:^|,)\s*"([0-9]{1,18})"\s*(?=,|$)')
_WORKSPACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", re.ASCII)


class Document(BaseModel):
    """A body that may hold what is described, and nothing else."""

    model_config = ConfigDict(extra="forbid")


def etag(version: int) -> dict[str, str]:
    """Give the header that names a version."""
    return {"etag": f'"{version}"'}


def versions_of(if_match: str | None) -> frozenset[int] | None:
    """Give the versions that may be changed; None is any."""
    if if_match is None or if_match.strip() == "*":
        return None
    return frozenset(int(version) for version in _TAG.findall(if_match))


def workspace_of(who: Principal) -> str:
    """Give the workspace, or refuse one that cannot stand in keys and sources' addresses."""
    if not _WORKSPACE.fullmatch(who.workspace):
        detail = "a workspace's key has 1 to 63 letters, digits, dots, hyphens or underscores"
        raise Rejected(422, "workspace.invalid", detail, workspace=who.workspace)
    return who.workspace


class Listed(Protocol):
    """What is listed by (created_at, id)."""

    @property
    def id(self) -> UUID:
        """Its id."""
        ...

    @property
    def created_at(self) -> datetime:
        """When it was created."""
        ...


def following(found: Sequence[Listed], limit: int) -> str | None:
    """Give the cursor of the page after the first `limit` of what was found; None on the last."""
    if len(found) <= limit:
        return None
    last = found[limit - 1]
    return Place(last.created_at, last.id).write()


async def follow(keyring: Keyring) -> None:
    """Have this process see a change at once; the others follow within two seconds."""
    with contextlib.suppress(Unavailable):  # the change is stored; the task tries again
        await keyring.refresh()
