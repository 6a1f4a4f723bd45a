"""The river: every fact about one profile, in order, on `clm.journey`, keyed by profile id."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from clm_common.contracts.stage_change import StageChange
from clm_common.errors import InvalidMessage


class TouchpointApplied(
    Struct, frozen=True, tag="touchpoint", tag_field="kind", omit_defaults=True, gc=False
):
    """A touchpoint was counted, once, and belongs to this profile.

    Attributes:
        workspace: the workspace's key.
        profile_id: whose touchpoint it is; also the record's key.
        version: the profile's version that includes it.
        time: when it happened, in event time, RFC 3339.
        source: the source that sent it.
        message_id: the sender's id; with profile, source and `time` it names one touchpoint.
        touchpoint: the event as it was sent (see `Touchpoint`).
        marks: what it is marked as (see `touchpoint.MARKS`).
        channel: how the customer came to it, or through what it reached them, for example
            `paid-search`; told once, when it was counted. Absent where nothing told.
        campaign: the campaign's name.
        content: which of the campaign's ads or links it was.
    """

    workspace: str
    profile_id: UUID
    version: int
    time: str
    source: str
    message_id: str
    touchpoint: Raw
    marks: tuple[str, ...] = ()
    channel: str | None = None
    campaign: str | None = None
    content: str | None = None


class IdentityMoved(
    Struct, frozen=True, tag="identity_moved", tag_field="kind", omit_defaults=True, gc=False
):
    """The touchpoints of an identity now belong to another profile.

    It is published twice: on the river of the profile that lost it and of the one that gained it.
    Where `emptied` is true, `from_profile` has nothing left: the two were merged.

    Attributes:
        workspace: the workspace's key.
        profile_id: the record's key: `from_profile` or `to_profile`.
        version: the version of the profile named by `profile_id`.
        identity_id: the identity that moved.
        from_profile: who had it.
        to_profile: who has it.
        time: the instant of the touchpoint that links them, or of the decision that merges or
            parts them, RFC 3339.
        emptied: `from_profile` holds no touchpoint any more.
        moves: how often the identity has moved, this time included: of two messages about it the
            one with more is newer. 0 where it was not counted yet; then the earliest `time` holds.
    """

    workspace: str
    profile_id: UUID
    version: int
    identity_id: UUID
    from_profile: UUID
    to_profile: UUID
    time: str
    emptied: bool = False
    moves: int = 0


class ProfileErased(
    Struct, frozen=True, tag="erased", tag_field="kind", omit_defaults=True, gc=False
):
    """A person asked to be forgotten: erase what is kept of this profile up to this version.

    It beats every message of the profile with the same or a lower `version`, whichever arrives
    first. One with a higher version is a new beginning and has nothing to do with what was.
    Our own services answer with an `ErasureConfirmed`.

    Attributes:
        workspace: the workspace's key.
        profile_id: whom to forget; also the record's key.
        version: everything up to it goes.
        erasure: the erasure's id; a person who had several profiles has several messages.
        part: which of them this is, from 1.
        parts: how many there are.
        time: when it was erased, RFC 3339.
    """

    workspace: str
    profile_id: UUID
    version: int
    erasure: UUID
    part: int
    parts: int
    time: str


JourneyMessage = TouchpointApplied | StageChange | IdentityMoved | ProfileErased

TYPE_OF: Final[dict[type[JourneyMessage], str]] = {
    TouchpointApplied: "clm.journey.touchpoint.v1",
    StageChange: "clm.journey.stage-changed.v1",
    IdentityMoved: "clm.journey.identity-moved.v1",
    ProfileErased: "clm.journey.erased.v1",
}

PUBLIC_ERASED: Final = "clm.person-erased.v1"
"""The CloudEvents type of an erasure on `clm.stage-changes`."""

_decoder: Final[msgspec.json.Decoder[JourneyMessage]] = msgspec.json.Decoder(JourneyMessage)


def decode(value: bytes) -> JourneyMessage:
    """Read one message of the river.

    Raises:
        InvalidMessage: it is not one.
    """
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidMessage("journey.invalid", f"not a message of the river: {error}") from error
