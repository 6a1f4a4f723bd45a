"""Waits until all of the demo is through: read, counted, measured, planned and sent.

Each step is a question to a service that is asked until its answer is the one that must come. What
makes no headway for a minute is stuck, and is named.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from msgspec import Struct

from clm_common.bus.ports import Reader
from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.errors import Unavailable
from clm_local.demo.observing import Observer, Profile, stages_of
from clm_local.demo.recount import Truth
from clm_local.errors import LocalError

PULSE: Final = 0.25
PATIENCE: Final = 60.0
"""Seconds without headway after which a step is stuck."""

LAPSES_WITHIN: Final = 10.0
"""Seconds that deadlines which fell due may take to fire."""


class Look(Struct, frozen=True):
    """One answer.

    Attributes:
        done: it is the one that must come.
        seen: what there is now, for people.
    """

    done: bool
    seen: str


class Step(Struct, frozen=True):
    """Something to wait for.

    Attributes:
        service: whose log says more.
        look: asks once.
        patience: seconds without headway after which it is stuck.
        may_fail: go on without it; the report shows what is amiss.
    """

    service: str
    look: Callable[[], Awaitable[Look]]
    patience: float = PATIENCE
    may_fail: bool = False


class Wait:
    """The steps, in order."""

    def __init__(self, observer: Observer, reader: Reader, truth: Callable[[], Truth]) -> None:
        """Prepare to wait.

        Args:
            observer: asks the services.
            reader: knows how much is on the topics.
            truth: recounts the clickstream as of now.
        """
        self._ask = observer
        self._reader = reader
        self._truth = truth

    async def until_through(self, show: Callable[[str], None]) -> None:
        """Wait for all steps; `show` is told how each gets on.

        Raises:
            LocalError: a step makes no headway.
        """
        steps = [
            Step("stage-engine", self._is_read),
            Step("stage-engine", self._has_landed),
            Step("stage-engine", self._has_lapsed, LAPSES_WITHIN, may_fail=True),
            Step("metrics", self._is_measured),
            Step("engagement", self._is_planned),
        ]
        for step in steps:
            await walk(step, show)

    async def _is_read(self) -> Look:
        """The engine's positions have come to the topic's ends."""
        ends = await self._reader.end_offsets(TOUCHPOINTS.name)
        read = (await self._ask.progress()).next_offsets
        behind = sum(max(0, end - read.get(partition, 0)) for partition, end in ends.items())
        return Look(behind == 0, f"{behind:,} records of {TOUCHPOINTS.name} to be read")

    async def _has_landed(self) -> Look:
        """As many touchpoints as were sent count for the demo's people."""
        wanted = self._truth().events
        counted = sum(it.touchpoints for it in await self.people())
        return Look(counted >= wanted, f"{counted:,} of {wanted:,} touchpoints counted")

    async def _has_lapsed(self) -> Look:
        """Deadlines that are due by now have fired."""
        wanted, found = self._truth().people, dict(stages_of(await self.people()))
        return Look(_without_zeros(found) == _without_zeros(wanted), f"people per stage: {found}")

    async def _is_measured(self) -> Look:
        """Metrics shows as many people in each stage as the engine has."""
        wanted = _without_zeros(stages_of(await self._ask.profiles()))
        found = _without_zeros({it.stage: it.people for it in await self._ask.stages()})
        return Look(found == wanted, f"{sum(found.values()):,} people measured: {found}")

    async def _is_planned(self) -> Look:
        """Everyone who signed in has a message that is settled."""
        people = {it.id for it in await self.people()}
        ours = [it for it in await self._ask.messages() if it.profile_id in people and it.stands]
        pending = sum(it.state == "pending" for it in ours)
        wanted = len(self._truth().welcomes)
        seen = f"{len(ours):,} of {wanted:,} messages planned, {pending:,} of them pending"
        return Look(len(ours) >= wanted and not pending, seen)

    async def people(self) -> list[Profile]:
        """Give the profiles of the demo's people."""
        return [it for it in await self._ask.profiles() if it.person]


async def walk(step: Step, show: Callable[[str], None]) -> None:
    """Wait for one step.

    Raises:
        LocalError: it makes no headway.
    """
    seen, since = "", time.monotonic()
    while True:
        try:
            look = await step.look()
        except Unavailable as error:
            look = Look(done=False, seen=str(error))
        if look.done:
            return
        if look.seen != seen:
            seen, since = look.seen, time.monotonic()
            show(f"{step.service}: {seen}")
        if time.monotonic() - since > step.patience:
            if step.may_fail:
                return
            raise LocalError(
                "demo-stuck",
                f"{step.service} makes no headway: {seen}. "
                f"See `clm status` and `clm logs {step.service}`, then run `clm demo` again.",
            )
        await asyncio.sleep(PULSE)


def _without_zeros(counts: Mapping[str, int]) -> dict[str, int]:
    return {stage: count for stage, count in counts.items() if count}
