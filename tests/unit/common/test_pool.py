"""The pool of connections, on connections that need no server."""

from __future__ import annotations

import asyncio

import pytest

from clm_common.errors import Unavailable
from clm_common.store.pool import Pool


class Line:
    """A connection as far as the pool knows one."""

    def __init__(self) -> None:
        self.closed = False
        self.in_transaction = False
        self.farewells = 0

    def is_closed(self) -> bool:
        return self.closed

    def is_in_transaction(self) -> bool:
        return self.in_transaction

    def terminate(self) -> None:
        self.closed = True

    async def close(self, *, timeout: float) -> None:  # noqa: ASYNC109 - the driver's own
        del timeout
        self.closed = True
        self.farewells += 1


class Lines:
    """Opens connections and remembers them."""

    def __init__(self) -> None:
        self.opened: list[Line] = []
        self.away = False

    async def __call__(self) -> Line:
        if self.away:
            raise ConnectionRefusedError
        await asyncio.sleep(0)
        self.opened.append(Line())
        return self.opened[-1]


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def pool(lines: Lines) -> Pool:
    return Pool(lines, size=2, patience=0.05)


async def fail(pool: Pool, error: BaseException, *, in_transaction: bool = False) -> None:
    async with pool.lend() as line:
        line.in_transaction = in_transaction
        raise error


async def test_nothing_is_opened_before_it_is_needed(lines: Lines, pool: Pool) -> None:
    await pool.close()

    assert lines.opened == []


async def test_who_comes_later_gets_what_came_back_last(lines: Lines, pool: Pool) -> None:
    async with pool.lend() as first:
        async with pool.lend() as second:
            pass
        async with pool.lend() as third:
            assert third is second
    async with pool.lend() as fourth:
        assert fourth is first

    assert lines.opened == [first, second]


async def test_one_that_died_while_it_lay_there_is_passed_over(lines: Lines, pool: Pool) -> None:
    async with pool.lend() as dead:
        pass
    dead.closed = True

    async with pool.lend() as fresh:
        assert fresh is not dead

    assert lines.opened == [dead, fresh]


async def test_who_waits_in_vain_is_told_that_all_are_lent(pool: Pool) -> None:
    async with pool.lend(), pool.lend():
        with pytest.raises(Unavailable, match="in use"):
            await fail(pool, LookupError())


async def test_who_waits_gets_the_next_that_comes_back(lines: Lines, pool: Pool) -> None:
    async with pool.lend(), pool.lend() as second:
        waiting = asyncio.create_task(borrow(pool))
        await asyncio.sleep(0)
        assert not waiting.done()

    assert await waiting in {second, lines.opened[0]}
    assert len(lines.opened) == 2


async def borrow(pool: Pool) -> Line:
    async with pool.lend() as line:
        given: Line = line
    return given


async def test_an_error_of_the_borrower_costs_no_connection(lines: Lines, pool: Pool) -> None:
    with pytest.raises(LookupError):
        await fail(pool, LookupError())

    assert await borrow(pool) is lines.opened[0]


@pytest.mark.parametrize(
    ("error", "in_transaction"),
    [(LookupError(), True), (TimeoutError(), False), (asyncio.CancelledError(), True)],
    ids=["stuck in a transaction", "silent", "cancelled in a transaction"],
)
async def test_one_that_came_to_grief_is_not_lent_again(
    lines: Lines, pool: Pool, error: BaseException, *, in_transaction: bool
) -> None:
    with pytest.raises(type(error)):
        await fail(pool, error, in_transaction=in_transaction)

    assert lines.opened[0].closed
    assert await borrow(pool) is not lines.opened[0]


async def test_a_server_that_is_away_takes_no_place_for_good(lines: Lines, pool: Pool) -> None:
    lines.away = True
    for _ in range(3):
        with pytest.raises(ConnectionRefusedError):
            await borrow(pool)
    lines.away = False

    async with pool.lend(), pool.lend():
        assert len(lines.opened) == 2


async def test_a_closed_pool_says_farewell_to_each_and_ends_what_comes_back_later(
    lines: Lines, pool: Pool
) -> None:
    async with pool.lend() as late:
        idle = await borrow(pool)

        await pool.close()

        assert (idle.farewells, late.closed) == (1, False)
    assert late.closed
    assert len(lines.opened) == 2
