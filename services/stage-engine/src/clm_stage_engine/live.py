"""The live stream: facts as they are committed, to any number of listeners of this process.

One loop per process reads the rows by (partition, seq) while somebody listens, and hands each fact
to whom it concerns. The rows are read rather than the topics, because then a listener can resume
from any place at any process, and costs no consumer; N processes ask N times a tick for positions,
whatever the number of listeners.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import Final

import msgspec

from clm_common.clock import Clock
from clm_common.errors import Rejected, Unavailable
from clm_common.instant import DAY, to_datetime
from clm_common.runtime.retry import Backoff
from clm_common.store.database import Database
from clm_stage_engine.listening import ROOM, Audience, Event, Listener, Wish
from clm_stage_engine.queries import facts
from clm_stage_engine.queries.facts import Fact, Place

EVERY: Final = 0.2
"""Seconds between two looks for new facts."""

HEARTBEAT: Final = 10.0
"""Seconds of silence after which a listener is told that the stream lives, and its place."""

LONGEST: Final = 3600.0
"""Seconds after which a stream ends, so that its token is checked again."""

LISTENERS: Final = 1_000
"""Streams of one process at most."""

RECENT: Final = DAY
"""Touchpoints older than this when they arrive (imports, late ones) are not streamed."""


class Hub:
    """Reads new facts once for all listeners of this process; `run` it as a task."""

    def __init__(
        self, database: Database, clock: Clock, *, room: int = ROOM, heartbeat: float = HEARTBEAT
    ) -> None:
        """Make a hub that nobody listens to.

        Args:
            database: stage-engine's schema.
            clock: tells which touchpoints are recent.
            room: how many facts wait for a listener at most.
            heartbeat: seconds of silence between two signs of life.
        """
        self._database = database
        self._clock = clock
        self._room = room
        self._heartbeat = heartbeat
        self._listeners: set[Listener] = set()
        self._place: dict[int, int] | None = None
        self._wanted = asyncio.Event()
        self._closed = False

    @property
    def listening(self) -> int:
        """How many streams are open."""
        return len(self._listeners)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve the listeners until `stop` is set, then end every stream."""
        backoff = Backoff("live")
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                wanted = asyncio.create_task(self._wanted.wait())
                await asyncio.wait({stopping, wanted}, return_when=asyncio.FIRST_COMPLETED)
                wanted.cancel()
                try:
                    await self._tick()
                    backoff.succeeded()
                    await asyncio.wait({stopping}, timeout=EVERY)
                except Unavailable as error:
                    await backoff.wait_or_stop(error, stop)
        finally:
            stopping.cancel()
            self.close()

    def close(self) -> None:
        """End every stream and take no more."""
        self._closed = True
        for each in self._listeners:
            each.end("stopping")

    async def _tick(self) -> None:
        """Read what is new since the last tick and hand it out."""
        if not self._listeners:
            self._place = None
            self._wanted.clear()
            return
        async with self._database.connection() as db:
            until = await facts.positions(db)
            place = self._place if self._place is not None else until
            for each in self._listeners:
                if each.base is None:
                    each.join(place)
            audience = Audience(it for it in self._listeners if it.base is not None)
            while _behind(place, until):
                found, place = await facts.read(db, place, until, audience.watched, self._since())
                for fact in found:
                    audience.give(fact)
                self._place = place
        self._place = place

    async def follow(self, wish: Wish, after: Place | None) -> AsyncGenerator[Event]:
        """Give what a listener wants to hear from a place on, without an end of its own.

        It ends with an event `end` that says why: `too_slow`, `stopping`, or `renew` after an hour.

        Args:
            wish: what to give.
            after: where the listener stopped before; None for from now on.

        Raises:
            Rejected: 503; too many listen already, or the process is ending.
            Unavailable: PostgreSQL is away.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + LONGEST
        place = await self._start(after)
        yield Event(facts.write_place(place))
        async with aclosing(self._missed(wish, place, None)) as missed:
            async for event in missed:
                yield event
        async with self._listening(wish) as listener:
            async with aclosing(self._missed(wish, place, listener)) as missed:
                async for event in missed:
                    yield event
            while listener.ended is None and loop.time() < until:
                fact = listener.take()
                if fact is not None:
                    place[fact.partition] = fact.seq
                    yield Event(facts.write_place(place), fact.event, fact.data)
                elif not await listener.wait(self._heartbeat):
                    yield Event(facts.write_place(place))
            reason = listener.ended or "renew"
        yield Event(facts.write_place(place), "end", _why(reason))

    async def _start(self, after: Place | None) -> dict[int, int]:
        """Give the place to begin at: never one that lies ahead of what is committed."""
        async with self._database.connection() as db:
            newest = await facts.positions(db)
        asked = after or {}
        return {part: min(asked.get(part, seq), seq) for part, seq in newest.items()}

    async def _missed(
        self, wish: Wish, place: dict[int, int], listener: Listener | None
    ) -> AsyncGenerator[Event]:
        """Read from the rows what was missed: up to now, or up to where a listener was let in.

        Moves `place` on as it goes.
        """
        if listener is None:
            async with self._database.connection() as db:
                until: Place = await facts.positions(db)
        else:
            while listener.base is None and listener.ended is None:
                await listener.wait(self._heartbeat)
            until = listener.base or {}
        while _behind(place, until):
            found, reached = await self._read(wish, place, until)
            for fact in filter(wish.takes, found):
                place[fact.partition] = fact.seq
                yield Event(facts.write_place(place), fact.event, fact.data)
            place.update(reached)

    async def _read(
        self, wish: Wish, place: Place, until: Place
    ) -> tuple[list[Fact], dict[int, int]]:
        """Read on from a place: one profile's facts by its index, a workspace's in pieces."""
        since = self._since()
        async with self._database.connection() as db:
            if wish.profile is None:
                return await facts.read(db, place, until, [], since)
            wanted = since if wish.touchpoints else None
            found = await facts.read_of(db, wish.profile, place, until, wanted)
        return found, {**place, **until}

    @asynccontextmanager
    async def _listening(self, wish: Wish) -> AsyncGenerator[Listener]:
        self.admit()
        listener = Listener(wish, self._room)
        self._listeners.add(listener)
        self._wanted.set()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def admit(self) -> None:
        """Return if one more may listen.

        Raises:
            Rejected: 503; too many do already, or the process is ending.
        """
        if self._closed:
            raise Rejected(503, "stream.stopping", "this process is ending; connect again")
        if len(self._listeners) >= LISTENERS:
            raise Rejected(503, "stream.full", "too many streams are open here; try again later")

    def _since(self) -> datetime:
        return to_datetime(self._clock.now() - RECENT)


def _behind(place: Place, until: Place) -> bool:
    return any(place.get(part, 0) < seq for part, seq in until.items())


def _why(reason: str) -> str:
    return msgspec.json.encode({"reason": reason}).decode()
