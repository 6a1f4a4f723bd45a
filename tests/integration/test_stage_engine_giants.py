"""People of very many touchpoints are folded again without holding up anybody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Final

import pytest

from clm_common.bus.memory import MemoryBroker
from clm_common.contracts.ids import profile_id
from clm_common.instant import HOUR, SECOND
from clm_stage_engine import advancing, aside, folding, giants
from clm_stage_engine.core.beside import Beside
from clm_stage_engine.core.eras import Course
from clm_stage_engine.folding import Claimed, Past
from clm_stage_engine.journal import Journal
from clm_stage_engine.profiles import Entry
from clm_stage_engine.store import reading
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import neighbour, touchpoint

GIANT: Final = "giant"
MANY: Final = 50
LEASE: Final = 4.0
"""Seconds: how long the engine's transactions may last, too."""


class Gate:
    """A giant's re-fold that goes on when it is told to; others go through.

    Attributes:
        begun: how many re-folds of giants were begun.
        opened: lets them go on; a test that never comes to it fails all the same.
    """

    def __init__(self) -> None:
        self.begun = 0
        self.opened = threading.Event()

    def refold(
        self,
        course: Course,
        entry: Entry,
        past: Past,
        fresh: Sequence[Claimed],
        journal: Journal,
        *,
        others: Sequence[Beside] | None = None,
    ) -> Entry:
        """Wait at the gate, then do what `folding.refold` does."""
        if len(past.touches) >= MANY:
            self.begun += 1
            self.opened.wait(20)
        return folding.refold(course, entry, past, fresh, journal, others=others)

    async def reached(self, times: int = 1) -> None:
        """Wait until so many re-folds have begun."""
        async with asyncio.timeout(20):
            while self.begun < times:  # noqa: ASYNC110 - another thread's doing
                await asyncio.sleep(0.01)


@contextmanager
def before_refolds(monkeypatch: pytest.MonkeyPatch, of: ModuleType, limit: str) -> Generator[Gate]:
    """Lower one of the limits of giants to 50 touchpoints, and put a gate before a module's."""
    found = Gate()
    monkeypatch.setattr(giants, limit, MANY)
    monkeypatch.setattr(of, "refold", found.refold)
    yield found
    found.opened.set()


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Generator[Gate]:
    """Have whoever has 50 touchpoints folded in a thread, and give the gate before that."""
    with before_refolds(monkeypatch, advancing, "LONG") as found:
        yield found


@pytest.fixture
def aside_gate(monkeypatch: pytest.MonkeyPatch) -> Generator[Gate]:
    """Have whoever has 50 touchpoints folded beside the batches, and give the gate before that."""
    with before_refolds(monkeypatch, aside, "HUGE") as found:
        yield found


async def stands(engine: Engine) -> tuple[object, ...]:
    """Give the giant's stage, touchpoints and state."""
    return (await engine.states())[profile_id("local", "user_id", GIANT)]


async def merging(engine: Engine) -> None:
    """Give the giant a past, and identify one more visitor as the giant."""
    await engine.send(
        *(touchpoint(NOW - HOUR + it * SECOND, user=GIANT, event="Seen") for it in range(MANY)),
        touchpoint(NOW - 2 * HOUR, anonymous="visitor", kind="page"),
    )
    await engine.settled()
    await engine.send(touchpoint(NOW - SECOND, user=GIANT, anonymous="visitor", kind="identify"))


async def test_others_touchpoints_land_while_a_giant_is_folded_again(
    engine: Engine, gate: Gate
) -> None:
    await merging(engine)
    await gate.reached()

    await engine.send(touchpoint(NOW, user=neighbour(GIANT, same=False), event="Seen"))
    await engine.folded(MANY + 2)

    assert not gate.opened.is_set()
    gate.opened.set()
    await engine.settled()
    assert [it.target for it in engine.timeline("user_id", GIANT)] == ["reach", "acquisition"]
    assert (await stands(engine))[1] == MANY + 2


async def test_a_giant_is_folded_once_though_that_takes_longer_than_a_transaction_may(
    engine: Engine, gate: Gate
) -> None:
    await merging(engine)
    await gate.reached()
    claims = await engine.fetch("SELECT partition, epoch FROM consumer_partition ORDER BY 1")

    await asyncio.sleep(LEASE + 1)
    gate.opened.set()
    await engine.settled()

    assert gate.begun == 1
    assert claims == await engine.fetch(
        "SELECT partition, epoch FROM consumer_partition ORDER BY 1"
    )


async def test_a_history_of_many_chunks_is_read_as_a_whole(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "CHUNK", MANY // 10)

    await merging(engine)
    await engine.settled()

    assert (await stands(engine))[1] == MANY + 2


async def test_others_on_the_partition_go_on_while_a_giant_is_folded_beside_them(
    engine: Engine, aside_gate: Gate
) -> None:
    await merging(engine)
    await aside_gate.reached()

    await engine.send(touchpoint(NOW, user=neighbour(GIANT, same=True), event="Seen"))
    await engine.folded(MANY + 3)
    assert not aside_gate.opened.is_set()
    waiting = await stands(engine)
    aside_gate.opened.set()
    await engine.settled()

    assert waiting[:2] == ("reach", MANY + 1)
    assert [it.target for it in engine.timeline("user_id", GIANT)] == ["reach", "acquisition"]
    assert (await stands(engine))[:2] == ("acquisition", MANY + 2)


async def test_a_late_touchpoint_of_a_giant_counts_once_however_often_it_comes(
    engine: Engine, aside_gate: Gate
) -> None:
    await merging(engine)
    await aside_gate.reached()
    late = touchpoint(NOW - 2 * HOUR, user=GIANT, event="Order Completed", message_id="late")

    await engine.send(late, late)
    await engine.folded(MANY + 3)
    await engine.send(late)
    aside_gate.opened.set()
    await engine.settled()
    await engine.send(late)
    await engine.settled()

    targets = [it.target for it in engine.timeline("user_id", GIANT)]
    assert targets == ["reach", "conversion"]
    assert (await stands(engine))[:2] == ("conversion", MANY + 3)


async def test_a_giant_who_changes_again_and_again_is_folded_all_the_same(
    engine: Engine, aside_gate: Gate
) -> None:
    await merging(engine)
    for times in range(1, aside.STUBBORN + 1):
        await aside_gate.reached(times)
        await engine.send(touchpoint(NOW + times, user=GIANT, event="Seen"))
        await engine.folded(MANY + 2 + times)
        aside_gate.opened.set()
        aside_gate.opened.clear()

    await engine.settled()

    assert aside_gate.begun == aside.STUBBORN
    assert (await stands(engine))[:2] == ("acquisition", MANY + 2 + aside.STUBBORN)


async def test_a_giant_is_folded_by_who_takes_the_partition_over(
    engine_url: str, aside_gate: Gate
) -> None:
    broker = MemoryBroker()
    async with Engine(engine_url, broker) as engine:
        await merging(engine)
        await aside_gate.reached()
        await engine.crash()
    aside_gate.opened.set()

    async with Engine(engine_url, broker, owner="engine-2") as engine:
        await engine.settled()

        assert (await stands(engine))[:2] == ("acquisition", MANY + 2)


async def test_a_giant_who_is_erased_meanwhile_stays_erased(
    engine: Engine, aside_gate: Gate
) -> None:
    await merging(engine)
    await aside_gate.reached()

    await engine.ask_to_erase("user_id", GIANT)
    async with asyncio.timeout(20):
        while await engine.fetch("SELECT FROM erasure WHERE done_at IS NULL"):  # noqa: ASYNC110 - another task's doing
            await asyncio.sleep(0.02)
    aside_gate.opened.set()
    await engine.settled()

    assert await engine.states() == {}
    assert await engine.fetch("SELECT FROM stage_change") == []
