"""Waiting for what is away: longer each time, one line an outage, ended by a word."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from clm_common.errors import DefinitionError, Unavailable
from clm_common.runtime.retry import Backoff, until_available

AWAY = Unavailable("database.away", "PostgreSQL is away")


async def test_each_wait_may_be_twice_as_long_up_to_a_limit() -> None:
    backoff = Backoff("test", first=0.001, longest=0.004)
    bounds: list[float] = []

    for _ in range(4):
        bounds.append(backoff.bound())
        await backoff.wait(AWAY)

    assert bounds == [0.001, 0.002, 0.004, 0.004]


async def test_a_success_makes_it_start_over() -> None:
    backoff = Backoff("test", first=0.001)
    await backoff.wait(AWAY)
    await backoff.wait(AWAY)

    backoff.succeeded()

    assert backoff.bound() == 0.001


async def test_an_outage_is_logged_when_it_begins_and_when_it_ends() -> None:
    with capture_logs() as logs:
        backoff = Backoff("test", first=0.001, longest=0.001)
        for _ in range(5):
            await backoff.wait(AWAY)
        backoff.succeeded()
        backoff.succeeded()

    assert [line["event"] for line in logs] == ["outage.began", "outage.ended"]
    assert (logs[0]["reason"], logs[1]["tries"]) == ("database.away", 5)


async def test_a_wait_can_be_cancelled() -> None:
    backoff = Backoff("test", first=60, longest=60)
    waiting = asyncio.create_task(backoff.wait(AWAY))
    await asyncio.sleep(0)

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_wait_ends_when_it_is_told_to_stop() -> None:
    backoff, stop = Backoff("test", first=3600, longest=3600), asyncio.Event()
    waiting = asyncio.create_task(backoff.wait_or_stop(AWAY, stop))
    await asyncio.sleep(0)

    stop.set()

    await asyncio.wait_for(waiting, 1)


async def test_it_tries_until_the_server_is_there() -> None:
    answers = iter([AWAY, AWAY, None])

    async def attempt() -> str:
        if (answer := next(answers)) is not None:
            raise answer
        return "there"

    assert await until_available(attempt, what="test") == "there"


async def test_an_error_that_waiting_cannot_mend_passes_through() -> None:
    async def attempt() -> None:
        raise DefinitionError("lifecycle.wrong", "no start stage")

    with pytest.raises(DefinitionError):
        await until_available(attempt, what="test")


async def test_it_gives_up_when_it_is_told_to_stop() -> None:
    stop = asyncio.Event()
    stop.set()

    async def attempt() -> None:
        raise AWAY

    with pytest.raises(Unavailable):
        await until_available(attempt, what="test", stop=stop)
