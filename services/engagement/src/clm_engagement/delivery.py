"""Delivery: claims messages, hands them to their channels, and writes down what became of each.

A message is marked `sending` in the transaction that asks the gate, before anything is handed over;
what the channel answered is written after. A process that dies in between leaves `sending` behind,
which becomes `unknown` when the lease ends: it may have arrived, so it is never sent again.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final, assert_never

import structlog

from clm_common import telemetry
from clm_common.clock import Clock
from clm_common.errors import RaceLost, Unavailable
from clm_common.instant import SECOND
from clm_common.runtime.handler import Connection
from clm_common.runtime.retry import Backoff, until_available
from clm_common.store.database import Database
from clm_engagement.channels.port import (
    Accepted,
    Channel,
    Deferred,
    Outcome,
    Refused,
    Sender,
    Unclear,
)
from clm_engagement.core.contact import Contact
from clm_engagement.core.journey import FAILED, SENT, SKIPPED, UNKNOWN
from clm_engagement.core.permit import Candidate, Fail, Send, Skip, Verdict, hashes_of, permit
from clm_engagement.core.retry import next_try
from clm_engagement.core.template import RenderFailed
from clm_engagement.definitions import Definitions
from clm_engagement.letters import Terms, write
from clm_engagement.store import queue

log = structlog.get_logger()

REST: Final = 0.5
"""Seconds between two looks at the queue while nothing happens."""


class Delivery:
    """One process's part in sending what is planned."""

    def __init__(  # noqa: PLR0913 - the parts it is made of
        self,
        database: Database,
        definitions: Definitions,
        *,
        channels: Mapping[str, Channel],
        senders: Mapping[str, Sender],
        terms: Terms,
        clock: Clock,
        on_sent: Callable[[], None] = lambda: None,
        roll: Callable[[], float] = random.random,
    ) -> None:
        """Make it.

        Args:
            database: the service's schema.
            definitions: the journeys and their templates.
            channels: every channel, by key.
            senders: the opened ones, by key.
            terms: on which terms.
            clock: tells the time.
            on_sent: called after each message that was sent.
            roll: gives random numbers from 0 to 1.
        """
        self._database = database
        self._definitions = definitions
        self._channels = channels
        self._senders = senders
        self._terms = terms
        self._clock = clock
        self._on_sent = on_sent
        self._roll = roll
        self._steps = frozenset(definitions.templates)
        self._tidied = 0
        self._news = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        """Look at the queue now: something was planned."""
        self._news.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set, then wait for what is under way."""
        backoff = Backoff("delivery")
        watch = asyncio.create_task(self._wake_on(stop))
        try:
            while not stop.is_set():
                try:
                    if not await self._round():
                        await self._rest()
                    backoff.succeeded()
                except (Unavailable, RaceLost) as error:
                    await backoff.wait_or_stop(error, stop)
        finally:
            watch.cancel()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _wake_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._news.set()

    async def _rest(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), REST)
        self._news.clear()

    async def _round(self) -> bool:
        """Claim and start what there is room for; False where there was nothing to do."""
        room = self._terms.at_once - len(self._under_way)
        if room <= self._terms.at_once // 2:  # a claim costs the same for one as for many
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            return True
        async with self._database.connection() as connection:
            await self._tidy(connection)
            due = await queue.due_channels(connection, self._steps, now=self._clock.now())
        if not due:
            return False
        open_ = await self._open_channels(due)
        verdicts = await self._claim(open_, room)
        for verdict in verdicts:
            self._take(verdict)
        return bool(verdicts)

    async def _tidy(self, connection: Connection) -> None:
        """Settle what nobody will settle otherwise, at most once a second."""
        now = self._clock.now()
        if now - self._tidied < SECOND:
            return
        self._tidied = now
        if lost := await queue.give_up_lost(connection):
            _count(UNKNOWN, lost)
            log.warning("messages.interrupted", count=lost)
        since = now - self._terms.window
        if gone := await queue.expire_undefined(connection, self._steps, live_since=since):
            _count(SKIPPED, gone)
            log.warning("messages.undefined", count=gone)

    async def _open_channels(self, due: set[str]) -> set[str]:
        """Give the channels among these that can send now.

        Raises:
            Unavailable: none of them can.
        """
        found: set[str] = set()
        failure: Unavailable | None = None
        for key in due:
            try:
                await self._senders[key].ready()
                found.add(key)
            except Unavailable as error:
                failure = error
        if failure is not None and not found:
            raise failure
        return found

    async def _claim(self, channels: set[str], room: int) -> list[Verdict]:
        """Ask the gate about what is due, and mark what may be sent, in one transaction."""
        terms, now = self._terms, self._clock.now()
        try:
            async with self._database.transaction() as tx:
                due = await queue.load_due(tx, channels, self._steps, now=now, limit=2 * room + 8)
                if not due:
                    return []
                hashes = hashes_of(due, self._address)
                persons = {it.person for it in due}
                memory = await queue.load_memory(tx, persons, hashes, terms.keyed)
                verdicts = permit(
                    due, memory, self._address, room=room, now=now, window=terms.window
                )
                await queue.save_verdicts(
                    tx, verdicts, now=now, lease=terms.lease, keyed=terms.keyed
                )
        except RaceLost as error:
            log.info("claim.race", reason=error.slug)
            return []
        return verdicts

    def _address(self, channel: str, contact: Contact) -> str | None:
        return self._channels[channel].address(contact)

    def _take(self, verdict: Verdict) -> None:
        match verdict:
            case Send():
                task = asyncio.create_task(self._deliver(verdict))
                self._under_way.add(task)
                task.add_done_callback(self._done)
            case Skip(_, reason):
                _count(SKIPPED)
                log.info("message.skipped", message=str(verdict.id), reason=reason)
            case Fail(_, reason):
                _count(FAILED)
                log.info("message.failed", message=str(verdict.id), reason=reason)
            case _:
                log.debug("message.waits", message=str(verdict.id), reason=verdict.reason)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("delivery.defect", exc_info=error)

    async def _deliver(self, send: Send) -> None:
        """Hand one message over and write down what became of it."""
        candidate = send.candidate
        try:
            letter = write(send, self._definitions, self._terms, now=self._clock.now())
        except RenderFailed as error:
            log.warning("message.unrenderable", message=str(candidate.id), detail=str(error))
            outcome: Outcome = Refused(error.slug)
        else:
            outcome = await self._senders[candidate.channel].send(letter)
        await until_available(lambda: self._record(candidate, outcome), what="delivery.record")
        if isinstance(outcome, Accepted):
            self._on_sent()

    async def _record(self, candidate: Candidate, outcome: Outcome) -> None:
        """Write down what became of an attempt.

        Raises:
            Unavailable: it is not written; try again, for as long as it takes.
        """
        try:
            match outcome:
                case Accepted():
                    await self._settle(candidate, SENT, None, None)
                case Refused(reason, code):
                    await self._settle(candidate, FAILED, reason, code)
                case Unclear(reason):
                    await self._settle(candidate, UNKNOWN, "answer_lost", reason)
                case Deferred(reason, tried):
                    await self._postpone(candidate, reason, tried=tried)
                case _:
                    assert_never(outcome)
        except RaceLost as error:
            raise Unavailable(error.slug, error.message) from error

    async def _settle(
        self, candidate: Candidate, state: str, reason: str | None, code: str | None
    ) -> None:
        attempt, now = candidate.attempts + 1, self._clock.now()
        async with self._database.connection() as connection:
            await queue.settle(
                connection, candidate.id, attempt, state=state, reason=reason, code=code, now=now
            )
        _count(state)
        log.info("message.settled", message=str(candidate.id), state=state, reason=reason)

    async def _postpone(self, candidate: Candidate, reason: str, *, tried: bool) -> None:
        attempt = candidate.attempts + 1
        due = next_try(attempt if tried else 0, now=self._clock.now(), roll=self._roll())
        async with self._database.connection() as connection:
            await queue.postpone(
                connection, candidate.id, attempt, code=reason, due=due, tried=tried
            )
        _count("deferred")
        log.info("message.deferred", message=str(candidate.id), reason=reason, tried=tried)


def _count(fate: str, count: int = 1) -> None:
    telemetry.ENGAGEMENT_MESSAGES.labels(fate).inc(count)
