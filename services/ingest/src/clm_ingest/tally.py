"""Counts what violates tracking plans: in metrics at once, in PostgreSQL once a second.

The counts of a process that is killed are lost for its last second; they are for a report, and what
becomes of events does not depend on them.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from msgspec import Struct

from clm_common import telemetry
from clm_common.clock import Clock, SystemClock
from clm_common.errors import RaceLost, Unavailable
from clm_common.runtime.retry import Backoff
from clm_ingest.core.admission import Origin
from clm_ingest.core.judging import Judgement

FLUSH: Final = 1.0
"""Seconds between two writings."""

MOST: Final = 500
"""Different violations kept between two writings; more are counted in the metrics only."""

_REACTION: Final = {"observe": "observed", "quarantine": "quarantined", "drop": "dropped"}


class Kind(Struct, frozen=True):
    """What is counted together."""

    workspace: str
    source: str
    event: str
    version: int
    path: str
    rule: str
    reaction: str


Write = Callable[[Mapping[Kind, int], int], Awaitable[None]]
"""Adds counts, of which the last is from the given µs."""


class Tally:
    """Counts in memory, until they are written."""

    def __init__(self, write: Write | None = None, clock: Clock | None = None) -> None:
        """Make it.

        Args:
            write: adds counts to the table; None counts in the metrics only.
            clock: tells when.
        """
        self._write = write
        self._clock = clock or SystemClock()
        self._counts: Counter[Kind] = Counter()

    def note(self, origin: Origin, mode: str, judgement: Judgement) -> None:
        """Count what one event violates."""
        for violation in judgement.violations:
            removed = not set(violation.properties).isdisjoint(judgement.omitted)
            reaction = _REACTION[mode] if judgement.fault or removed else _REACTION["observe"]
            telemetry.PLAN_VIOLATIONS.labels(reaction).inc()
            kind = Kind(
                origin.workspace, origin.source, judgement.event, judgement.version,
                violation.path, violation.rule, reaction,
            )  # fmt: skip
            if self._write is not None and (kind in self._counts or len(self._counts) < MOST):
                self._counts[kind] += 1

    async def flush(self) -> None:
        """Write what was counted.

        Raises:
            Unavailable: PostgreSQL is away; the counts are kept.
        """
        counts, self._counts = self._counts, Counter()
        if not counts or self._write is None:
            return
        try:
            await self._write(counts, self._clock.now())
        except BaseException:
            self._counts.update(counts)
            raise

    async def keep(self, stop: asyncio.Event) -> None:
        """Write again and again, and once more when told to stop."""
        backoff = Backoff("plan.violations")
        while not stop.is_set():
            try:
                async with asyncio.timeout(FLUSH):
                    await stop.wait()
            except TimeoutError:
                pass
            try:
                await self.flush()
                backoff.succeeded()
            except (Unavailable, RaceLost) as error:
                await backoff.wait_or_stop(error, stop)
