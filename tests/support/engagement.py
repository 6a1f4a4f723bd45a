"""Builders and a plain memory for engagement's tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import UUID

import msgspec

from clm_common.contracts.ids import ANONYMOUS_ID, USER_ID, change_id, profile_id
from clm_common.contracts.journey import IdentityMoved, JourneyMessage, TouchpointApplied
from clm_common.contracts.stage_change import StageChange
from clm_common.instant import DAY, HOUR, from_rfc3339, to_rfc3339
from clm_engagement.core.contact import Contact
from clm_engagement.core.facts import Facts, joined, learn_all, newer_entry, newer_trait
from clm_engagement.core.journey import Journey, Message, plan

WORKSPACE = "acme"
NOW = from_rfc3339("2026-11-22T12:00:00Z")
WINDOW = 2 * DAY
KEY = b"k" * 32

WELCOME = Journey.model_validate_json("""{
    "key": "welcome", "lifecycle": "reach", "entry": "once",
    "when": {"enters": "acquisition", "from": ["reach", null]},
    "steps": [{"key": "welcome", "send": "email", "template": "welcome"}]
}""")


def known(name: str, *, workspace: str = WORKSPACE) -> UUID:
    """Give the profile of a customer with a user id."""
    return profile_id(workspace, USER_ID, name)


def device(name: str, *, workspace: str = WORKSPACE) -> UUID:
    """Give the profile of a device that nobody is known to own."""
    return profile_id(workspace, ANONYMOUS_ID, name)


def entered(  # noqa: PLR0913 - a message's own fields
    profile: UUID,
    *,
    at: int = NOW - HOUR,
    source: str | None = "reach",
    target: str = "acquisition",
    version: int = 2,
    retracted: bool = False,
    user_id: str | None = None,
    cause: str = "m-1",
    workspace: str = WORKSPACE,
    historical: bool = False,
) -> StageChange:
    """Build the message that a profile entered a stage."""
    return StageChange(
        id=change_id(profile, "reach", at, source, target, cause),
        workspace=workspace,
        profile_id=profile,
        version=version,
        lifecycle="reach",
        definition="d1",
        target=target,
        move=f"{source}->{target}",
        at=to_rfc3339(at),
        source=source,
        cause=cause,
        user_id=user_id,
        retracted=retracted,
        historical=historical,
    )


def taken_back(of: StageChange, *, version: int | None = None) -> StageChange:
    """Build the message that a stage was not entered after all."""
    return msgspec.structs.replace(of, retracted=True, version=version or of.version + 1)


def identified(  # noqa: PLR0913 - a message's own fields
    profile: UUID,
    *,
    user_id: str | None = None,
    anonymous_id: str | None = None,
    at: int = NOW - HOUR,
    message_id: str = "m-1",
    context: Mapping[str, object] | None = None,
    workspace: str = WORKSPACE,
    **traits: object,
) -> TouchpointApplied:
    """Build the message that an identify call was counted for a profile."""
    call = {
        "type": "identify",
        "messageId": message_id,
        "userId": user_id,
        "anonymousId": anonymous_id,
        "traits": traits,
        "context": context,
    }
    return TouchpointApplied(
        workspace=workspace,
        profile_id=profile,
        version=1,
        time=to_rfc3339(at),
        source="web",
        message_id=message_id,
        touchpoint=msgspec.Raw(msgspec.json.encode(call)),
    )


def tracked(profile: UUID, *, user_id: str, message_id: str = "m-9") -> TouchpointApplied:
    """Build the message that a track call was counted for a profile."""
    call = {"type": "track", "messageId": message_id, "userId": user_id, "event": "Product Viewed"}
    return TouchpointApplied(
        workspace=WORKSPACE,
        profile_id=profile,
        version=1,
        time=to_rfc3339(NOW),
        source="web",
        message_id=message_id,
        touchpoint=msgspec.Raw(msgspec.json.encode(call)),
    )


def moved(  # noqa: PLR0913 - a message's own fields
    identity: UUID,
    source: UUID,
    target: UUID,
    *,
    at: int = NOW - HOUR,
    river: UUID | None = None,
    workspace: str = WORKSPACE,
    moves: int = 0,
) -> IdentityMoved:
    """Build the message that an identity now belongs to another profile."""
    return IdentityMoved(
        workspace=workspace,
        profile_id=river or target,
        version=3,
        identity_id=identity,
        from_profile=source,
        to_profile=target,
        time=to_rfc3339(at),
        emptied=identity == source,
        moves=moves,
    )


def write_journeys(folder: Path, **parts: str) -> Path:
    """Write a folder with one journey, `welcome`, whose templates are these."""
    texts = {"subject": "Hi", "html": "{{ link.unsubscribe }}", "text": "{{ link.unsubscribe }}"}
    (folder / "welcome").mkdir(parents=True)
    (folder / "welcome.yaml").write_text(
        "key: welcome\nlifecycle: reach\nwhen: {enters: acquisition, from: [reach, null]}\n"
        "entry: once\nsteps:\n  - {key: welcome, send: email, template: welcome}\n"
    )
    for name, text in (texts | parts).items():
        (folder / "welcome" / f"welcome.{name}.liquid").write_text(text)
    return folder


def email_of(channel: str, contact: Contact) -> str | None:
    """Give the address on the only channel."""
    assert channel == "email"
    return contact.email


class PlainMemory:
    """What the service remembers and plans, batch by batch, without a database."""

    def __init__(self, *, now: int = NOW, window: int = WINDOW) -> None:
        self.facts = Facts()
        self.messages: dict[UUID, Message] = {}
        self._now = now
        self._window = window
        self._seen: list[JourneyMessage] = []

    def take(self, batch: Iterable[JourneyMessage]) -> None:
        """Take in one batch as a handler does."""
        news = learn_all(batch)
        self._seen.extend(batch)
        self.facts = _joined(self.facts, news)
        profiles = {it.profile for it in news.entries.values()}
        entries = [it for it in self.facts.entries.values() if it.profile in profiles]
        for it in plan([WELCOME], entries, self.messages, live_since=self._now - self._window):
            self.messages[it.id] = it


def _joined(old: Facts, new: Facts) -> Facts:
    identities, traits, entries = dict(old.identities), dict(old.traits), dict(old.entries)
    for key, it in new.identities.items():
        identities[key] = joined(identities[key], it) if key in identities else it
    for name, trait in new.traits.items():
        traits[name] = newer_trait(traits[name], trait) if name in traits else trait
    for each, entry in new.entries.items():
        entries[each] = newer_entry(entries[each], entry) if each in entries else entry
    return Facts(identities, traits, entries)
