"""Whom a subscriber of the river has forgotten: so that nothing older brings them back.

`erased` beats every message of its profile with the same or a lower version, also one that another
partition's relay publishes after it. So each erasure is kept, by profile and version alone, until
no such message can be left; and until it is confirmed (see `runtime.confirming`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final
from uuid import UUID

from msgspec import Struct

from clm_common.contracts.journey import IdentityMoved, JourneyMessage, ProfileErased
from clm_common.errors import InvalidMessage
from clm_common.instant import from_datetime, from_rfc3339, to_datetime
from clm_common.store.database import Connection

TABLES: Final = (
    """
    CREATE TABLE forgotten (
        profile_id uuid NOT NULL,
        erasure uuid NOT NULL,
        part integer NOT NULL,
        version bigint NOT NULL,
        erased_at timestamptz NOT NULL,
        done_at timestamptz NOT NULL DEFAULT now(),
        confirmed_at timestamptz,
        PRIMARY KEY (profile_id, erasure)
    )
    """,
    "CREATE INDEX forgotten_unconfirmed ON forgotten (done_at) WHERE confirmed_at IS NULL",
)
"""What a subscriber's migration creates."""

_NOTE: Final = """
    INSERT INTO forgotten (profile_id, erasure, part, version, erased_at)
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::integer[], $4::bigint[], $5::timestamptz[])
    ON CONFLICT DO NOTHING
"""

_LIMITS: Final = """
    SELECT profile_id, max(version) AS version, max(erased_at) AS erased_at
    FROM forgotten WHERE profile_id = ANY($1::uuid[]) GROUP BY profile_id
"""


class Limit(Struct, frozen=True, order=True):
    """Up to where a profile is forgotten: its version, and the instant of the erasure (µs)."""

    version: int
    at: int


Limits = Mapping[UUID, Limit]


def limit_of(message: ProfileErased) -> Limit:
    """Read up to where an `erased` reaches.

    Raises:
        InvalidMessage: its time is none, or a number is out of bounds.
    """
    try:
        at = from_rfc3339(message.time)
        to_datetime(at)
    except (ValueError, OverflowError) as error:
        raise InvalidMessage("journey.invalid", f"erased: time is no instant: {error}") from error
    if not (0 < message.version < 2**63 and 0 < message.part < 2**31):
        raise InvalidMessage("journey.invalid", "erased: version or part is out of bounds")
    return Limit(message.version, at)


async def load_limits(
    tx: Connection, profiles: Collection[UUID], erased: Iterable[ProfileErased]
) -> dict[UUID, Limit]:
    """Give up to where people are forgotten.

    Args:
        tx: the open transaction.
        profiles: whom a batch is about, moved identities included.
        erased: whom the batch itself says to forget.
    """
    found: dict[UUID, Limit] = {}
    for row in await tx.fetch(_LIMITS, list(profiles)) if profiles else ():
        found[row["profile_id"]] = Limit(row["version"], from_datetime(row["erased_at"]))
    for it in erased:
        found[it.profile_id] = max(limit_of(it), found.get(it.profile_id, Limit(0, 0)))
    return found


def is_forgotten(limits: Limits, profile: UUID, version: int) -> bool:
    """Tell whether a version of a profile was forgotten."""
    limit = limits.get(profile)
    return limit is not None and version <= limit.version


def stands(message: JourneyMessage, limits: Limits) -> bool:
    """Tell whether a message says something that was not forgotten.

    A move is forgotten, too, where the identity is and the evidence is from before.

    Raises:
        InvalidMessage: a move's time is no instant.
    """
    if is_forgotten(limits, message.profile_id, message.version):
        return False
    if isinstance(message, IdentityMoved) and (of := limits.get(message.identity_id)):
        return _instant(message) > of.at
    return True


def _instant(move: IdentityMoved) -> int:
    try:
        return from_rfc3339(move.time)
    except (ValueError, OverflowError) as error:
        raise InvalidMessage("journey.invalid", f"a move's time is no instant: {error}") from error


async def note(tx: Connection, messages: Collection[ProfileErased]) -> None:
    """Write down that these were forgotten; call it in the transaction that does so."""
    rows = [
        (it.profile_id, it.erasure, it.part, it.version, to_datetime(limit_of(it).at))
        for it in messages
    ]
    if rows:
        await tx.execute(_NOTE, *[list(column) for column in zip(*rows, strict=True)])
