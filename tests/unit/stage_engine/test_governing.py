"""A lifecycle that is not known to run is looked up, and not by everybody who asks."""

from __future__ import annotations

import asyncio

import pytest

from clm_common.errors import DefinitionError, Unavailable
from clm_stage_engine import definitions, governing
from clm_stage_engine.changing.sides import held_against
from clm_stage_engine.governing import Board, Decree
from clm_stage_engine.running import Running, known
from clm_stage_engine.store.runs import Run


class Rows:
    """What the rows say, and how often they were read."""

    def __init__(self) -> None:
        self.decree = Decree()
        self.fault: Exception | None = None
        self.readings = 0
        self.read = asyncio.Event()

    async def __call__(self) -> Decree:
        self.readings += 1
        self.read.set()
        decree = self.decree
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        return decree

    def start(self, key: str) -> None:
        """Start a lifecycle as another process does."""
        run = Run(1, "local", key, "start", began=None, settled=True)
        self.decree = Decree(runs=[run])


@pytest.fixture
def rows() -> Rows:
    return Rows()


@pytest.fixture
def board(rows: Rows) -> Board:
    every = known([definitions.SHIPPED])

    def compile_(_text: str, _number: int) -> Running:
        raise AssertionError("nothing was published")

    return Board(every["reach"], rows, compile_, every)


async def test_what_was_started_elsewhere_a_moment_ago_is_known_when_it_is_asked_for(
    board: Board, rows: Rows
) -> None:
    assert await board.running("local", "saas") is None
    rows.start("saas")

    found = await board.running("local", "saas")

    assert found is not None
    assert found.lifecycle.key == "saas"
    assert await board.running("other", "saas") is None


async def test_a_draft_is_held_against_what_was_started_elsewhere_a_moment_ago(
    board: Board, rows: Rows
) -> None:
    await board.refresh()
    rows.start("saas")

    course = await held_against(None, board, "local", "saas", None)

    assert course.lifecycle.key == "saas"


async def test_what_is_known_is_not_looked_up(board: Board, rows: Rows) -> None:
    rows.start("saas")
    await board.refresh()

    for key in (None, "reach", "saas"):
        assert await board.running("local", key) is not None

    assert rows.readings == 1


async def test_a_hundred_who_ask_for_what_there_is_not_share_a_reading(
    board: Board, rows: Rows
) -> None:
    asked = await asyncio.gather(*(board.running("local", f"none-{n}") for n in range(100)))

    assert set(asked) == {None}
    assert rows.readings == 1


async def test_whoever_asks_again_waits(
    board: Board, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(governing, "APART", 0.1)
    clock = asyncio.get_running_loop().time
    began = clock()

    for _ in range(4):
        await board.running("local", "none")

    assert rows.readings == 4
    assert clock() - began >= 0.29


async def test_whoever_asks_after_a_reading_began_has_another_one(board: Board, rows: Rows) -> None:
    early = asyncio.create_task(board.running("local", "saas"))
    await rows.read.wait()
    rows.start("saas")

    late = await board.running("local", "saas")

    assert late is not None
    await early
    assert rows.readings == 2


async def test_a_version_that_cannot_be_read_leaves_the_rules_as_they_were(
    board: Board, rows: Rows
) -> None:
    rows.fault = DefinitionError("lifecycle.invalid", "of a later release")

    assert await board.running("local", "none") is None


async def test_while_postgresql_is_away_nobody_is_told_that_it_does_not_run(
    board: Board, rows: Rows
) -> None:
    rows.fault = Unavailable("database.away", "PostgreSQL is away")

    asked = (board.running("local", "none") for _ in range(3))
    found = await asyncio.gather(*asked, return_exceptions=True)

    assert [type(it) for it in found] == [Unavailable] * 3
    assert rows.readings == 1
