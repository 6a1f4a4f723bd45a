"""Delivers webhooks: plans from the committed facts, posts, and writes down what became of it.

Every process runs one. All its statements are made by one loop, in batches; posts run beside it,
a few per endpoint, so that a slow endpoint holds up neither the worker nor other endpoints.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Final

import structlog
from msgspec import Struct

from clm_common.clock import Clock
from clm_common.errors import RaceLost, Unavailable
from clm_common.instant import SECOND
from clm_common.runtime.retry import Backoff
from clm_common.store.database import Database
from clm_common.telemetry import WEBHOOK_DELIVERIES
from clm_stage_engine.core.outgoing import SCHEDULE, Answer, judge, message_of, signed
from clm_stage_engine.posting import CONNECTIONS, Poster
from clm_stage_engine.store import deliveries
from clm_stage_engine.store.deliveries import Claimed, Due, Settled
from clm_stage_engine.store.webhooks import Webhooks

log = structlog.get_logger()

EVERY: Final = 0.25
"""Seconds between two looks where nothing happens."""

EACH: Final = 4
"""Posts to one endpoint at a time, of one process."""

PURGE_EVERY: Final = 600.0
"""Seconds between two removals of what was settled long ago."""

LAST_CHANCE: Final = 5.0
"""Seconds that posts under way may take when the process ends."""


class _Post(Struct, frozen=True):
    """A post under way."""

    webhook: Due
    claimed: Claimed


class Courier:
    """One process's part in delivering; `run` it as a task."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        webhooks: Webhooks,
        poster: Poster,
        *,
        schedule: Sequence[float] = SCHEDULE,
    ) -> None:
        """Make it.

        Args:
            database: stage-engine's schema.
            clock: stamps what is sent.
            webhooks: gives the secrets.
            poster: posts.
            schedule: seconds to wait after the first failure, the second and so on.
        """
        self._database = database
        self._clock = clock
        self._webhooks = webhooks
        self._poster = poster
        self._schedule = schedule
        self._posts: dict[asyncio.Task[Answer], _Post] = {}
        self._ended: list[Settled] = []
        self._purged = 0.0

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver until `stop` is set; then what is under way may end, the rest is given back."""
        backoff = Backoff("webhooks")
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    busy = await self._turn()
                except (Unavailable, RaceLost) as error:
                    await backoff.wait_or_stop(error, stop)
                    continue
                backoff.succeeded()
                if not busy:
                    await asyncio.wait(
                        {stopping, *self._posts},
                        timeout=EVERY,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
            await self._end()
        finally:
            stopping.cancel()
            for task in self._posts:
                task.cancel()

    async def _turn(self) -> bool:
        """Write off, plan and claim once; tell whether there may be more to do at once."""
        await self._settle()
        async with self._database.transaction() as tx:
            planned = await deliveries.plan(tx)
        await self._purge()
        return bool(planned) | await self._claim()

    async def _claim(self) -> bool:
        """Begin the posts that are due, as far as there is room; tell whether any was."""
        async with self._database.connection() as db:
            waiting = await deliveries.due(db)
        random.shuffle(waiting)  # where room is short, nobody is always the last
        begun = 0
        for webhook in waiting:
            begun += await self._claim_of(webhook)
        return begun > 0

    async def _claim_of(self, webhook: Due) -> int:
        busy = Counter(it.webhook.id for it in self._posts.values())[webhook.id]
        room = min(EACH - busy, CONNECTIONS - len(self._posts))
        if room <= 0:
            return 0
        async with self._database.transaction() as tx:
            secrets = await self._webhooks.secrets(tx, webhook.id)
            claimed = await deliveries.claim(tx, webhook.id, room)
        for each in claimed:
            task = asyncio.create_task(self._post(webhook, each, secrets))
            self._posts[task] = _Post(webhook, each)
        return len(claimed)

    async def _post(self, webhook: Due, claimed: Claimed, secrets: Sequence[str]) -> Answer:
        if claimed.change is None:
            return Answer(None, "forgotten")
        if not secrets:
            return Answer(None, "secret_unreadable")
        name, body = message_of(claimed.change)
        headers = signed(name, self._clock.now() // SECOND, body, secrets)
        return await self._poster.post(webhook.url, headers, body)

    async def _settle(self) -> None:
        """Write down what became of the posts that have ended; kept until it is written."""
        for task in [it for it in self._posts if it.done()]:
            post = self._posts.pop(task)
            self._ended.append(self._judged(post, task.result()))
        if self._ended:
            async with self._database.transaction() as tx:
                await deliveries.settle(tx, self._ended)
            self._ended.clear()

    def _judged(self, post: _Post, answer: Answer) -> Settled:
        it = post.claimed
        schedule = self._schedule if it.change is not None else ()
        verdict = judge(answer, it.attempts, random.random(), schedule)  # noqa: S311 - jitter keeps no secret
        WEBHOOK_DELIVERIES.labels(verdict.outcome).inc()
        if verdict.state == "dead":
            log.warning(
                "webhook.dead", webhook=str(post.webhook.id), delivery=it.id, reason=answer.reason
            )
        status, reason = answer.status, answer.reason
        return Settled(it.id, it.attempts, verdict.state, verdict.wait, status, reason)

    async def _purge(self) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._purged >= PURGE_EVERY:
            async with self._database.transaction() as tx:
                await deliveries.purge(tx)
            self._purged = now

    async def _end(self) -> None:
        """Let posts under way end, and give back those that do not."""
        if self._posts:
            await asyncio.wait(self._posts, timeout=LAST_CHANCE)
        left = {task: it for task, it in self._posts.items() if not task.done()}
        for task in left:
            task.cancel()
            del self._posts[task]
        await asyncio.gather(*left, return_exceptions=True)
        try:
            await self._settle()
            async with self._database.transaction() as tx:
                await deliveries.release(tx, [it.claimed for it in left.values()])
        except (Unavailable, RaceLost):
            return  # claims run out by themselves
