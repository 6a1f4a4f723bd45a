"""Builders of the river's messages, and the naive recount that figures are held against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import pairwise
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from clm_common.bus.ports import Message
from clm_common.contracts import topics
from clm_common.contracts.ids import USER_ID, change_id, profile_id
from clm_common.contracts.journey import TYPE_OF, IdentityMoved, JourneyMessage, TouchpointApplied
from clm_common.contracts.stage_change import StageChange
from clm_common.instant import from_rfc3339, to_datetime, to_rfc3339

WORKSPACE = "acme"


def person(name: str, *, workspace: str = WORKSPACE) -> UUID:
    """Give the profile id of a customer."""
    return profile_id(workspace, USER_ID, name)


def change(  # noqa: PLR0913 - a message's own fields
    name: str,
    at: str | int,
    target: str,
    *,
    source: str | None = None,
    cause: str | None = "m-1",
    version: int = 1,
    retracted: bool = False,
    lifecycle: str = "reach",
    workspace: str = WORKSPACE,
) -> StageChange:
    """Build a stage change of a customer; its id is derived as the stage engine derives it."""
    instant = at if isinstance(at, int) else from_rfc3339(at)
    profile = person(name, workspace=workspace)
    return StageChange(
        id=change_id(profile, lifecycle, instant, source, target, cause),
        workspace=workspace,
        profile_id=profile,
        version=version,
        lifecycle=lifecycle,
        definition="d1",
        target=target,
        move=f"{source}->{target}",
        at=to_rfc3339(instant),
        source=source,
        cause=cause,
        retracted=retracted,
    )


def path(
    name: str, *steps: tuple[str, str], lifecycle: str = "reach", workspace: str = WORKSPACE
) -> list[StageChange]:
    """Build the stage changes of a customer who enters (instant, stage) after (instant, stage)."""
    sources = [None, *(stage for _, stage in steps)]
    return [
        change(
            name,
            at,
            stage,
            source=source,
            cause=f"m-{index}",
            version=index + 1,
            lifecycle=lifecycle,
            workspace=workspace,
        )
        for index, ((at, stage), source) in enumerate(zip(steps, sources, strict=False))
    ]


def retraction(of: StageChange, *, version: int | None = None) -> StageChange:
    """Take a stage change back."""
    return msgspec.structs.replace(of, version=version or of.version + 1, retracted=True)


def applied(
    name: str, at: str, *, message_id: str, workspace: str = WORKSPACE
) -> TouchpointApplied:
    """Build the message that a touchpoint was counted."""
    event = {"type": "track", "messageId": message_id, "userId": name, "event": "Product Viewed"}
    return TouchpointApplied(
        workspace=workspace,
        profile_id=person(name, workspace=workspace),
        version=1,
        time=to_rfc3339(from_rfc3339(at)),
        source="web",
        message_id=message_id,
        touchpoint=msgspec.Raw(msgspec.json.encode(event)),
    )


def moved(name: str, into: str, at: str, *, workspace: str = WORKSPACE) -> IdentityMoved:
    """Build the message that a customer's last identity now belongs to another one."""
    lost = person(name, workspace=workspace)
    return IdentityMoved(
        workspace=workspace,
        profile_id=lost,
        version=9,
        identity_id=lost,
        from_profile=lost,
        to_profile=person(into, workspace=workspace),
        time=to_rfc3339(from_rfc3339(at)),
        emptied=True,
    )


def message(of: JourneyMessage, *, topic: str = topics.JOURNEY.name) -> Message:
    """Put a message of the river into the form in which it is published."""
    return Message(
        topic=topic,
        key=str(of.profile_id).encode(),
        value=msgspec.json.encode(of),
        headers=(("ce_type", TYPE_OF[type(of)].encode()),),
    )


class Recount:
    """Everything counted anew from the messages, the slow and obvious way."""

    def __init__(
        self, messages: Iterable[StageChange], *, zone: str = "UTC", workspace: str = WORKSPACE
    ) -> None:
        """Keep, per person and change, the newest message; drop what it takes back."""
        newest: dict[tuple[str, UUID, str, UUID], StageChange] = {}
        for each in messages:
            key = (each.workspace, each.profile_id, each.lifecycle, each.id)
            if key not in newest or each.version > newest[key].version:
                newest[key] = each
        self._zone = ZoneInfo(zone)
        self._workspace = workspace
        self._standing = [each for each in newest.values() if not each.retracted]

    def journeys(self) -> list[list[StageChange]]:
        """Give every person's changes in the lifecycle `reach`, in order."""
        of: dict[UUID, list[StageChange]] = {}
        for each in self._standing:
            if (each.workspace, each.lifecycle) == (self._workspace, "reach"):
                of.setdefault(each.profile_id, []).append(each)
        return [sorted(each, key=_moment) for each in of.values()]

    def day(self, change: StageChange) -> str:
        """Give the local day of a change."""
        local: datetime = to_datetime(from_rfc3339(change.at)).astimezone(self._zone)
        return local.date().isoformat()

    def people(self, *, until: str = "9999-12-31") -> Counter[str]:
        """Count the people in each stage at the end of a local day."""
        upto = ([e for e in each if self.day(e) <= until] for each in self.journeys())
        return Counter(each[-1].target for each in upto if each)

    def entries(self) -> Counter[tuple[str, str]]:
        """Count the entries per stage and local day."""
        return Counter((e.target, self.day(e)) for each in self.journeys() for e in each)

    def reached(self, *, since: str = "", before: str = "9999-12-31") -> Counter[str]:
        """Count the people who ever entered each stage and first appeared in [since, before)."""
        cohort = (each for each in self.journeys() if since <= self.day(each[0]) < before)
        return Counter(stage for each in cohort for stage in {e.target for e in each})


def batches(messages: Sequence[StageChange], cuts: Sequence[int]) -> list[Sequence[StageChange]]:
    """Split messages at these places."""
    places = [0, *sorted(cut % (len(messages) + 1) for cut in cuts), len(messages)]
    return [messages[a:b] for a, b in pairwise(places)]


def _moment(each: StageChange) -> tuple[str, bool, bool, str, bytes]:
    return (
        each.at,
        each.source is not None,
        each.cause is not None,
        each.cause or "",
        each.id.bytes,
    )
