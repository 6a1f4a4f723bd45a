"""Turns of partitions: side by side, one at a time each, and nobody waits for the slow."""

from __future__ import annotations

import asyncio

import pytest

from clm_common.errors import OwnershipLost, Unavailable
from clm_common.runtime import turns
from clm_common.runtime.turns import Turns


async def until(opened: asyncio.Event, noted: list[str], name: str) -> None:
    await opened.wait()
    noted.append(name)


async def failing(error: Exception) -> None:
    await asyncio.sleep(0)
    raise error


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "PATIENCE", 0.05)


async def test_a_slow_partition_stays_busy_while_the_others_are_through() -> None:
    slow, quick, noted = asyncio.Event(), asyncio.Event(), list[str]()
    quick.set()
    async with Turns() as each:
        each.begin(0, until(slow, noted, "slow"))
        each.begin(1, until(quick, noted, "quick"))

        await each.met()

        assert (each.busy, noted) == ({0}, ["quick"])
        slow.set()
        await each.over()
        assert (each.busy, noted) == (set(), ["quick", "slow"])


async def test_what_goes_wrong_is_told_once_and_the_partition_is_free_again() -> None:
    async with Turns() as each:
        each.begin(0, failing(Unavailable("bus.away", "gone")))

        with pytest.raises(Unavailable):
            await each.met()

        assert each.busy == set()
        await each.met()


async def test_at_the_end_what_is_away_is_left_to_the_next_owner_but_a_defect_is_told() -> None:
    async with Turns() as each:
        each.begin(0, failing(Unavailable("bus.away", "gone")))
        await each.over()

        each.begin(0, failing(OwnershipLost("partition.lost", "gone")))
        with pytest.raises(OwnershipLost):
            await each.over()


async def test_leaving_cancels_what_still_runs() -> None:
    never, noted = asyncio.Event(), list[str]()
    async with Turns() as each:
        each.begin(0, until(never, noted, "never"))
        await each.met()

    assert noted == []
    assert len(asyncio.all_tasks()) == 1


async def test_how_long_a_turn_took_is_told_when_it_is_over_and_not_before() -> None:
    slow, noted = asyncio.Event(), list[str]()
    async with Turns() as each:
        each.begin(0, until(slow, noted, "slow"))

        assert await each.met() == 0.0
        slow.set()
        await asyncio.sleep(0.01)

        assert (await each.met() >= turns.PATIENCE, noted) == (True, ["slow"])
