"""Waiting for a server that is away: longer each time, never in step, one log line an outage."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import structlog

from clm_common.errors import Unavailable

log = structlog.get_logger()

FIRST: Final = 0.1
"""Seconds; the upper bound of the first wait."""

LONGEST: Final = 2.0
"""Seconds; no wait is longer, so that a server that came back is noticed soon."""

T = TypeVar("T")


class Backoff:
    """One loop's patience; full jitter: each wait is random between 0 and a bound that doubles.

    Call `wait` after a failure and `succeeded` after a success. The first failure of an outage and
    its end are logged, the tries in between are not.
    """

    def __init__(
        self, what: str, *, first: float = FIRST, longest: float = LONGEST, **ids: object
    ) -> None:
        """Make one.

        Args:
            what: names the loop in the log.
            first: seconds, the bound of the first wait.
            longest: seconds, the bound that doubling stops at.
            ids: further fields of the log lines.
        """
        self._log = log.bind(what=what, **ids)
        self._first = first
        self._longest = longest
        self._failures = 0
        self._since = 0.0

    @property
    def failures(self) -> int:
        """How many failures in a row there were."""
        return self._failures

    def bound(self) -> float:
        """Give the longest the next wait may take, in seconds."""
        return min(self._longest, self._first * 2.0 ** min(self._failures, 30))

    async def wait(self, error: Exception) -> None:
        """Note a failure and sleep; cancelling the task ends the sleep."""
        bound = self.bound()
        self._note(error)
        await asyncio.sleep(random.uniform(0, bound))  # noqa: S311 - jitter keeps no secret

    async def wait_or_stop(self, error: Exception, stop: asyncio.Event) -> None:
        """Do as `wait`, but return at once when `stop` is set."""
        bound = self.bound()
        self._note(error)
        await pause(stop, random.uniform(0, bound))  # noqa: S311 - as above

    def succeeded(self) -> None:
        """Note a success: the next outage begins with a short wait again."""
        if self._failures:
            lasted = asyncio.get_running_loop().time() - self._since
            self._log.info("outage.ended", tries=self._failures, seconds=round(lasted, 3))
        self._failures = 0

    def _note(self, error: Exception) -> None:
        if not self._failures:
            self._since = asyncio.get_running_loop().time()
            slug = error.slug if isinstance(error, Unavailable) else type(error).__name__
            self._log.warning("outage.began", reason=slug, detail=str(error))
        self._failures += 1


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, but not longer than until `stop` is set."""
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


async def until_available(
    attempt: Callable[[], Awaitable[T]], *, what: str, stop: asyncio.Event | None = None
) -> T:
    """Try until it is not `Unavailable` any more; every other error passes through.

    Args:
        attempt: what to try; called again after each `Unavailable`.
        what: names it in the log.
        stop: set it to give up.

    Raises:
        Unavailable: `stop` was set before it succeeded.
    """
    backoff = Backoff(what)
    stop = stop or asyncio.Event()
    while True:
        try:
            found = await attempt()
        except Unavailable as error:
            if stop.is_set():
                raise
            await backoff.wait_or_stop(error, stop)
        else:
            backoff.succeeded()
            return found
