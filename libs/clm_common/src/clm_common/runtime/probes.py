"""What a process says when asked: alive, ready, and its metrics.

`/health` is true as long as the event loop turns. `/ready` is true when the service is prepared,
is not ending, and every server it needs answered its ping within a second.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Literal

import structlog
from msgspec import Struct

from clm_common import telemetry
from clm_common.errors import ClmError

log = structlog.get_logger()

Ping = Callable[[], Awaitable[None]]
State = Literal["starting", "running", "stopping"]

PATIENCE: Final = 1.0
"""Seconds a ping may take."""

FRESH: Final = 0.9
"""Seconds an answer is kept, so that a crowd of probes costs one ping."""


class Check(Struct, frozen=True, omit_defaults=True):
    """One ping's answer.

    Attributes:
        ok: it answered in time.
        seconds: how long it took.
        reason: a slug, where it did not.
    """

    ok: bool
    seconds: float
    reason: str | None = None


class Report(Struct, frozen=True):
    """What `/ready` answers.

    Attributes:
        ready: the process takes work.
        state: `starting` until it is prepared, `stopping` from the signal to end on.
        checks: each server it needs, by name.
    """

    ready: bool
    state: State
    checks: dict[str, Check]


class Probes:
    """The state of one process as probes see it."""

    def __init__(self, service: str) -> None:
        """Make them for a service that is starting.

        Args:
            service: its name.
        """
        self.service = service
        self.state: State = "starting"
        self.pings: Mapping[str, Ping] = {}
        self._checked: dict[str, Check] = {}
        self._checked_at = float("-inf")
        self._turn = asyncio.Lock()
        self._said: bool | None = None

    async def report(self) -> Report:
        """Say whether the process is ready; pings at most once a second, whoever asks."""
        async with self._turn:
            if time.monotonic() - self._checked_at > FRESH:
                self._checked = await self._ping_all()
                self._checked_at = time.monotonic()
        ready = self.state == "running" and all(check.ok for check in self._checked.values())
        report = Report(ready, self.state, self._checked)
        self._say(report)
        return report

    async def _ping_all(self) -> dict[str, Check]:
        answers = await asyncio.gather(*map(_ask, self.pings.values()))
        return dict(zip(self.pings, answers, strict=True))

    def _say(self, report: Report) -> None:
        """Log a change of readiness, and only a change."""
        telemetry.READY.set(report.ready)
        if report.ready is not self._said:
            self._said = report.ready
            failed = {name: check.reason for name, check in report.checks.items() if not check.ok}
            log.info("service.readiness", ready=report.ready, state=report.state, failed=failed)


async def _ask(ping: Ping) -> Check:
    """Ping once; whatever goes wrong is an answer."""
    began = time.monotonic()
    reason = None
    try:
        async with asyncio.timeout(PATIENCE):
            await ping()
    except TimeoutError:
        reason = "ping.timeout"
    except ClmError as error:
        reason = error.slug
    except Exception as error:
        log.exception("ping.defect")
        reason = type(error).__name__
    return Check(reason is None, round(time.monotonic() - began, 4), reason)
