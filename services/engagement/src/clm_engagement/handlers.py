"""The river as engagement takes it in: facts are remembered, and messages planned from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog

from clm_common.bus.ports import Record
from clm_common.clock import Clock
from clm_common.contracts.journey import (
    IdentityMoved,
    JourneyMessage,
    ProfileErased,
    decode,
)
from clm_common.errors import InvalidMessage
from clm_common.runtime.handler import Connection, Refusal
from clm_common.store.forgotten import limit_of, load_limits, stands
from clm_engagement.core.facts import Facts, learn
from clm_engagement.core.journey import Journey, plan
from clm_engagement.store.erasing import forget
from clm_engagement.store.facts import load_entries, save_facts
from clm_engagement.store.plans import load_planned, repoint, save_planned, wake_waiting

log = structlog.get_logger()


class Plans:
    """What planning needs to know besides the facts."""

    def __init__(
        self,
        journeys: Mapping[str, Journey],
        *,
        clock: Clock,
        window: int,
        on_planned: Callable[[], None] = lambda: None,
    ) -> None:
        """Make it.

        Args:
            journeys: the definitions, by key.
            clock: tells the time.
            window: how old a stage change may be to be acted upon, µs.
            on_planned: called after a commit that may have planned something.
        """
        self.journeys = tuple(journeys.values())
        self.clock = clock
        self.window = window
        self.on_planned = on_planned


class Learnt:
    """What some records say; a batch as the worker takes it."""

    facts = 0
    """Nothing is published from rows."""

    def __init__(
        self,
        news: Facts,
        refused: Sequence[Refusal],
        plans: Plans,
        erased: Sequence[ProfileErased] = (),
    ) -> None:
        """Make it.

        Args:
            news: what the records say.
            refused: those that say nothing.
            plans: what planning needs to know.
            erased: whom to forget, before anything else.
        """
        self.refused = refused
        self._erased = erased
        self._news = news
        self._plans = plans

    async def write(self, tx: Connection, first_seq: int) -> None:
        """Remember the facts, then plan anew for everybody they concern."""
        del first_seq  # nothing is published from rows
        news, now = self._news, self._plans.clock.now()
        await forget(tx, self._erased)
        if not news.identities:
            return
        await save_facts(tx, news)
        if news.entries:
            await self._plan(tx, now)
        moved = {it.id for it in news.identities.values() if it.linked_at is not None}
        told = {identity for identity, field in news.traits if field == "email"}
        await repoint(tx, moved)
        await wake_waiting(tx, moved | told, now=now)

    async def _plan(self, tx: Connection, now: int) -> None:
        profiles = {it.profile for it in self._news.entries.values()}
        entries = await load_entries(tx, profiles)
        planned = await load_planned(tx, profiles)
        messages = plan(self._plans.journeys, entries, planned, live_since=now - self._plans.window)
        await save_planned(tx, messages, now=now)

    def committed(self) -> None:
        """Have what was planned delivered."""
        if self._news.identities:
            self._plans.on_planned()


class JourneyHandler:
    """Takes in one partition of `clm.journey`; keeps nothing in memory."""

    def __init__(self, plans: Plans) -> None:
        """Make it.

        Args:
            plans: what planning needs to know.
        """
        self._plans = plans

    async def decide(self, tx: Connection, records: Sequence[Record]) -> Learnt:
        """Read what the records say; rows are read and locked when it is written."""
        read, refused = _read(records)
        erased = [it for _, it in read if isinstance(it, ProfileErased)]
        about = {it.profile_id for _, it in read}
        about |= {it.identity_id for _, it in read if isinstance(it, IdentityMoved)}
        limits = await load_limits(tx, about, erased)
        news = Facts()
        for record, message in read:
            try:
                if stands(message, limits):
                    learn(news, message)
            except InvalidMessage as error:
                refused.append(Refusal(record, error))
        return Learnt(news, refused, self._plans, erased)

    async def wake(self, tx: Connection) -> None:
        """Decide about nothing: what falls due is the delivery's affair."""
        del tx

    def forget(self) -> None:
        """Drop nothing: nothing is kept."""

    async def close(self) -> None:
        """Close nothing."""


def _read(
    records: Sequence[Record],
) -> tuple[list[tuple[Record, JourneyMessage]], list[Refusal]]:
    read, refused = list[tuple[Record, JourneyMessage]](), list[Refusal]()
    for record in records:
        try:
            message = decode(record.value or b"")
            if isinstance(message, ProfileErased):
                limit_of(message)
            read.append((record, message))
        except InvalidMessage as error:
            refused.append(Refusal(record, error))
    return read, refused
