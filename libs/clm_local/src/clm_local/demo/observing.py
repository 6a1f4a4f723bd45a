"""Asks the services, through their public APIs, what they make of the demo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar
from uuid import UUID

import httpx
import msgspec
from msgspec import Struct

from clm_common.errors import Unavailable
from clm_local.demo.clickstream import MESSAGES, browser_of, email_of
from clm_local.people import Decision, Decisions, Explained

T = TypeVar("T")

LIFECYCLE = "reach"
JOURNEY = "welcome"
PAGE = "1000"
MAILS = "5000"


class Profile(Struct, frozen=True):
    """One profile of the stage-engine."""

    id: UUID
    user_id: str | None
    anonymous_ids: list[str]
    stage: str
    touchpoints: int

    @property
    def browsers(self) -> list[str]:
        """Whose browsers of the demo it has; several where people are merged."""
        prefix = browser_of("")
        return [it.removeprefix(prefix) for it in self.anonymous_ids if it.startswith(prefix)]

    @property
    def person(self) -> str | None:
        """Who of the demo it is; None for a stranger."""
        names = self.browsers
        return self.user_id if self.user_id in names else next(iter(names), None)


class Progress(Struct, frozen=True):
    """How far the stage-engine has read."""

    next_offsets: dict[int, int]


class Share(Struct, frozen=True):
    """A fraction of exact counts."""

    value: float | None
    numerator: int
    denominator: int


class Entries(Struct, frozen=True):
    """How often a stage was entered."""

    today: int
    last_7_days: int
    ever: int


class Stage(Struct, frozen=True):
    """One stage as metrics shows it."""

    stage: str
    people: int
    reached: int
    entries: Entries
    from_first: Share
    from_previous: Share


class Message(Struct, frozen=True):
    """One planned message of engagement."""

    profile_id: UUID
    state: str
    reason: str | None

    @property
    def stands(self) -> bool:
        """Whether the stage change that it was planned for has not been corrected since."""
        return self.reason != "retracted"


class Mail(Struct, frozen=True):
    """One mail in the catcher."""

    id: str
    subject: str
    recipients: list[str]


class Addresses(Struct, frozen=True):
    """Where the services are, and what opens them."""

    stage_engine: str
    metrics: str
    engagement: str
    mail: str
    token: str


class Observer:
    """Asks; an async context manager."""

    def __init__(self, addresses: Addresses) -> None:
        self._at = addresses
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {addresses.token}"}, timeout=10.0, trust_env=False
        )

    async def progress(self) -> Progress:
        """How far the stage-engine has read clm.touchpoints."""
        return await self._get(f"{self._at.stage_engine}/v1/progress", Progress)

    async def profiles(self) -> Sequence[Profile]:
        """All profiles of the workspace."""
        found: list[Profile] = []
        page = _Profiles([], None)
        while not found or page.next:
            cursor = {"cursor": page.next} if page.next else {}
            page = await self._get(
                f"{self._at.stage_engine}/v1/profiles", _Profiles, limit=PAGE, **cursor
            )
            found += page.profiles
            if not page.profiles:
                break
        return found

    async def landed(self, profile: Profile) -> int:
        """Count those of a profile's touchpoints that the demo sent."""
        url, entries = f"{self._at.stage_engine}/v1/profiles/{profile.id}/timeline", 0
        page = _Timeline([], "")
        while page.next is not None:
            cursor = {"cursor": page.next} if page.next else {}
            page = await self._get(url, _Timeline, limit=PAGE, **cursor)
            ids = (it.id.rpartition("/")[2] for it in page.entries if it.kind == "touchpoint")
            entries += sum(it.startswith(MESSAGES) for it in ids)
        return entries

    async def explained(self, profile: UUID) -> Explained:
        """Why somebody is in their stage, and how they came there."""
        return await self._get(f"{self._at.stage_engine}/v1/profiles/{profile}/explain", Explained)

    async def profile(self, profile: UUID) -> Profile:
        """One profile; of one that was merged, whom it was merged into."""
        return await self._get(f"{self._at.stage_engine}/v1/profiles/{profile}", Profile)

    async def decisions(self, profile: UUID) -> Sequence[Decision]:
        """Who decided that somebody is one person with others, the newest first."""
        url = f"{self._at.stage_engine}/v1/profiles/{profile}/merges"
        return (await self._get(url, Decisions)).decisions

    async def decide(self, profile: UUID, what: str, **body: str) -> Decision:
        """Have the engine `merge` or `unmerge` somebody."""
        url = f"{self._at.stage_engine}/v1/profiles/{profile}/{what}"
        try:
            response = await self._http.post(url, json=body)
        except httpx.TransportError as error:
            raise Unavailable("demo.away", f"{url} does not answer: {error}") from error
        return _read(url, response, Decision)

    async def stages(self) -> Sequence[Stage]:
        """The funnel as metrics has it, in order."""
        answer = await self._get(f"{self._at.metrics}/v1/stages", _Stages, lifecycle=LIFECYCLE)
        return next((it.stages for it in answer.lifecycles if it.lifecycle == LIFECYCLE), [])

    async def entries(self, first: str, end: str) -> Mapping[str, Mapping[str, int]]:
        """Stage entries by stage and day, from the first day to before the end."""
        question = {"lifecycle": LIFECYCLE, "from": first, "to": end, "grain": "day"}
        answer = await self._get(f"{self._at.metrics}/v1/kpis/stage-entries", _Figures, **question)
        return {
            it.stage: {point.start: round(point.value or 0) for point in it.points if point.value}
            for it in answer.series
        }

    async def messages(self) -> Sequence[Message]:
        """The welcome messages, whatever became of them."""
        found: list[Message] = []
        page = _Messages([], "")
        while page.next is not None:
            cursor = {"cursor": page.next} if page.next else {}
            url = f"{self._at.engagement}/v1/messages"
            page = await self._get(url, _Messages, journey=JOURNEY, limit=PAGE, **cursor)
            found += page.messages
        return found

    async def mails(self, people: Sequence[str]) -> Sequence[Mail]:
        """The mails to these people that were caught."""
        wanted = {email_of(person) for person in people}
        answer = await self._get(f"{self._at.mail}/api/messages", _Mails, limit=MAILS)
        return [it for it in answer.messages if wanted & set(it.recipients)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def _get(self, url: str, answer: type[T], **question: str) -> T:
        try:
            response = await self._http.get(url, params=question)
        except httpx.TransportError as error:
            raise Unavailable("demo.away", f"{url} does not answer: {error}") from error
        return _read(url, response, answer)


def _read(url: str, response: httpx.Response, answer: type[T]) -> T:
    if not response.is_success:
        raise Unavailable("demo.refused", f"{url} answers HTTP {response.status_code}")
    return msgspec.json.decode(response.content, type=answer)


def stages_of(profiles: Sequence[Profile]) -> Mapping[str, int]:
    """Count profiles by stage."""
    return Counter(it.stage for it in profiles)


class _Profiles(Struct, frozen=True):
    profiles: list[Profile]
    next: str | None


class _Entry(Struct, frozen=True):
    kind: str
    id: str


class _Timeline(Struct, frozen=True):
    entries: list[_Entry]
    next: str | None


class _Funnel(Struct, frozen=True):
    lifecycle: str
    stages: list[Stage]


class _Stages(Struct, frozen=True):
    lifecycles: list[_Funnel]


class _Point(Struct, frozen=True):
    start: str = msgspec.field(name="from")
    value: float | None


class _Series(Struct, frozen=True):
    stage: str
    points: list[_Point]


class _Figures(Struct, frozen=True):
    series: list[_Series]


class _Messages(Struct, frozen=True):
    messages: list[Message]
    next: str | None


class _Mails(Struct, frozen=True):
    messages: list[Mail]
