"""Who listens to the live stream: what they want to hear, and the bounded queue of each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from msgspec import Struct

from clm_stage_engine.queries.facts import Fact

ROOM: Final = 1_000
"""Facts that wait for one listener; one that lags further behind is cut off."""


class Wish(Struct, frozen=True):
    """What a listener wants to hear.

    Attributes:
        workspace: whose facts.
        profile: only this profile's; None for everybody's stage changes.
        stage: only changes that enter or leave it.
        touchpoints: this profile's touchpoints, too.
        lifecycle: only changes of this one; None for all.
    """

    workspace: str
    profile: UUID | None = None
    stage: str | None = None
    touchpoints: bool = False
    lifecycle: str | None = None

    def takes(self, fact: Fact) -> bool:
        """Tell whether a fact is to be heard."""
        if fact.workspace != self.workspace:
            return False
        if fact.event == "touchpoint" and not self.touchpoints:
            return False
        if self.profile is not None:
            return self.profile == fact.profile
        if fact.event != "stage_changed" or self.lifecycle not in {None, fact.lifecycle}:
            return False
        return self.stage in {None, *fact.stages}


class Event(Struct, frozen=True):
    """What a listener gets: a fact with the place after it; without one, only the place."""

    place: str
    name: str | None = None
    data: str | None = None


class Listener:
    """One stream's queue: bounded, and filled by the hub."""

    def __init__(self, wish: Wish, room: int) -> None:
        self.wish = wish
        self.base: dict[int, int] | None = None
        self.ended: str | None = None
        self._room = room
        self._queue: deque[Fact] = deque()
        self._changed = asyncio.Event()

    def join(self, base: Mapping[int, int]) -> None:
        """Tell from which place on it is given facts."""
        self.base = dict(base)
        self._changed.set()

    def give(self, fact: Fact) -> None:
        """Add a fact; one too many ends the stream."""
        if len(self._queue) >= self._room:
            self.end("too_slow")
        elif self.ended is None:
            self._queue.append(fact)
            self._changed.set()

    def end(self, reason: str) -> None:
        """End the stream, what waits included: it can be read again from its place."""
        self._queue.clear()
        self.ended = self.ended or reason
        self._changed.set()

    def take(self) -> Fact | None:
        """Give the next fact, if one waits."""
        return self._queue.popleft() if self._queue else None

    async def wait(self, seconds: float) -> bool:
        """Wait until something changed; tell whether it did in time."""
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return False
        self._changed.clear()
        return True


class Audience:
    """Listeners by what they listen to, so that a fact looks only for those it may concern."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        """Make it of the listeners there are now."""
        self._of_profile: dict[UUID, list[Listener]] = {}
        self._of_workspace: dict[str, list[Listener]] = {}
        for each in listeners:
            if each.wish.profile is not None:
                self._of_profile.setdefault(each.wish.profile, []).append(each)
            else:
                self._of_workspace.setdefault(each.wish.workspace, []).append(each)

    @property
    def watched(self) -> list[UUID]:
        """Whose touchpoints must be read."""
        heard = self._of_profile.items()
        return [it for it, each in heard if any(one.wish.touchpoints for one in each)]

    def give(self, fact: Fact) -> None:
        """Hand a fact to whom it concerns."""
        nobody: list[Listener] = []
        whole = self._of_workspace.get(fact.workspace, nobody)
        for each in (*self._of_profile.get(fact.profile, nobody), *whole):
            if each.wish.takes(fact):
                each.give(fact)
