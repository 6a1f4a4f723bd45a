"""The diff of a version as a job over HTTP, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from clm_common.bus.memory import MemoryBroker, MemoryProducer
from clm_common.clock import ManualClock
from clm_common.store.database import Database
from clm_stage_engine import definitions
from clm_stage_engine.api import make_app
from clm_stage_engine.changing.comparison import Comparison, Place, Question
from clm_stage_engine.changing.jobs import Diffs
from clm_stage_engine.core.eras import Course
from clm_stage_engine.governing import Board
from clm_stage_engine.live import Hub
from clm_stage_engine.queries import people
from clm_stage_engine.queries.people import Person
from clm_stage_engine.store import SCHEMA, diffs
from clm_stage_engine.store.diffs import How
from tests.support.asking import Client, Json, client_of
from tests.support.buyers import NEW, OLD, PEOPLE
from tests.support.diffing import board_of
from tests.support.engine import NOW

MINE = PEOPLE // 2
"""The people of the workspace that asks."""

ENDED = {"done", "failed", "cancelled"}


class Gate:
    """Lets comparisons look at some people, then holds all of them up.

    Attributes:
        looked: who was looked at, in turn.
        reached: set when somebody waits.
        opened: lets everybody on.
    """

    def __init__(self, patch: pytest.MonkeyPatch, after: int) -> None:
        self.looked = list[UUID]()
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self._after = after
        self._people = people.people
        patch.setattr(people, "people", self.people)

    async def people(
        self, database: Database, among: people.Among, after: UUID = people.FIRST
    ) -> AsyncGenerator[Person]:
        """Give people, and wait before the first one too many."""
        async for person in self._people(database, among, after):
            if len(self.looked) == self._after and not self.opened.is_set():
                self.reached.set()
                await self.opened.wait()
            self.looked.append(person.id)
            yield person


@pytest.fixture
async def database(buyers_url: str) -> AsyncGenerator[Database]:
    async with Database(buyers_url, schema=SCHEMA, name="t", seconds=people.SECONDS) as opened:
        yield opened


@pytest.fixture
def board(database: Database, tmp_path: Path) -> Board:
    """Give what runs: the shop's old definition."""
    (tmp_path / "shop.yaml").write_text(OLD)
    return board_of(database, tmp_path)


@pytest.fixture
async def client(database: Database, board: Board) -> Client:
    """Ask as acme, which has a draft: version 2."""
    clock = ManualClock(NOW)
    asking = client_of(
        lambda verifier: make_app(
            database,
            verifier,
            clock,
            board,
            Hub(database, clock),
            producer=MemoryProducer(MemoryBroker()),
        ),
        scope="definitions:write",
        workspace="acme",
    )
    made = await asking.post("/v1/lifecycles", {"yaml": NEW})
    assert (made.status_code, made.json()["number"]) == (201, 2)
    return asking


@asynccontextmanager
async def working(
    database: Database, board: Board, owner: str, *, lease: float = 5.0
) -> AsyncGenerator[asyncio.Task[None]]:
    """Run a process's part; it is told to stop at the end."""
    stop = asyncio.Event()
    task = asyncio.create_task(
        Diffs(database, board, owner=owner, lease=lease, every=0.02).run(stop)
    )
    try:
        yield task
    finally:
        stop.set()
        await asyncio.gather(task, return_exceptions=True)


async def ask(client: Client, **body: object) -> str:
    """Ask for a diff; gives where it is."""
    answer = await client.post("/v1/lifecycles/shop/versions/2/diffs", body)
    assert answer.status_code == 202, answer.text
    assert answer.json()["state"] == "waiting"
    return str(answer.headers["location"])


async def seen(client: Client, where: str) -> Json:
    answer = await client.get(where, scope="profiles:read")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def until(client: Client, where: str, *, people_done: int | None = None) -> Json:
    """Wait until a diff has ended, or is so far."""
    async with asyncio.timeout(30):
        while True:
            found = await seen(client, where)
            if found["state"] in ENDED or found["people_done"] == people_done:
                return found
            await asyncio.sleep(0.02)


def figures(answer: Json) -> Json:
    """Give an answer but for what it cost."""
    return {name: value for name, value in answer.items() if name != "pace"}


async def test_a_diff_is_worked_off_and_its_answer_is_what_the_program_says(
    client: Client, database: Database, board: Board
) -> None:
    old, new = definitions.parse(OLD), definitions.parse(NEW)
    question = Question(new.digest, Course.of(old).name, "acme", 1.0, 3)
    own = Comparison(Course.of(new), Course.of(old), Place(question, NOW))
    expected = await own.run(database, lambda _: None)

    where = await ask(client)
    async with working(database, board, "one"):
        found = await until(client, where)

    assert (found["state"], found["people_done"], found["people"]) == ("done", MINE, MINE)
    assert figures(found["answer"]) == figures(msgspec.to_builtins(expected))


async def test_a_diff_whose_process_was_killed_goes_on_in_another_from_where_it_was(
    client: Client,
    database: Database,
    board: Board,
    buyers_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = await ask(client)
    async with working(database, board, "first"):
        expected = await until(client, whole)
    where = await ask(client)

    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.diffing", buyers_url, str(tmp_path), "20")
    )
    halfway = await until(client, where, people_done=20)
    killed.kill()
    await killed.wait()
    gate = Gate(monkeypatch, MINE)
    async with working(database, board, "goes-on"):
        found = await until(client, where)

    assert (halfway["state"], halfway["people"], halfway["answer"]) == ("running", MINE, None)
    assert found["state"] == "done"
    assert figures(found["answer"]) == figures(expected["answer"])
    assert len(gate.looked) == MINE - 20  # nobody twice


async def test_a_diff_is_given_back_by_a_process_that_ends(
    client: Client, database: Database, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch, 20)
    where = await ask(client)

    async with working(database, board, "ends", lease=3600):
        await gate.reached.wait()
    left = await seen(client, where)
    gate.opened.set()
    async with working(database, board, "goes-on"):
        found = await until(client, where)

    assert (left["state"], left["people_done"]) == ("waiting", 20)
    assert found["state"] == "done"
    assert len(gate.looked) == len({*gate.looked}) == MINE


async def test_a_cancelled_diff_is_left_and_the_next_one_is_taken_up(
    client: Client, database: Database, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch, 20)
    where = await ask(client)

    async with working(database, board, "one"):
        await gate.reached.wait()
        cancelled = await client.post(f"{where}/cancel", {})
        another = await ask(client)
        gate.opened.set()
        done = await until(client, another)
    again = await client.post(f"{where}/cancel", {})

    assert (cancelled.status_code, cancelled.json()["state"]) == (200, "cancelled")
    assert (await seen(client, where))["answer"] is None
    assert done["state"] == "done"
    assert (again.status_code, again.json()["slug"]) == (409, "diff.ended")


async def test_two_processes_share_the_diffs_and_never_work_on_one_together(
    client: Client, database: Database, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch, 2 * MINE + 1)
    asked = [await ask(client), await ask(client)]

    async with working(database, board, "one"), working(database, board, "two"):
        found = [await until(client, it) for it in asked]

    assert [it["state"] for it in found] == ["done", "done"]
    assert len(gate.looked) == 2 * MINE


async def test_what_a_process_writes_after_it_lost_its_diff_changes_nothing(
    client: Client, database: Database
) -> None:
    where = await ask(client)

    async with database.connection() as db:
        frozen = await diffs.claim(db, "frozen", 0.0)
        other = await diffs.claim(db, "other", 60.0)
        assert frozen is not None
        assert other is not None
        kept = await diffs.keep(db, frozen, How(1, 2, b"{}"), 60.0)
        finished = await diffs.finish(db, frozen, 2, b"{}")
        nobody = await diffs.claim(db, "third", 60.0)

    assert (kept, finished, nobody) == (False, False, None)
    assert (await seen(client, where))["state"] == "running"


async def test_a_diff_begun_before_a_publication_is_not_gone_on_with_by_what_decides_now(
    client: Client, database: Database, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch, 20)
    where = await ask(client)

    async with working(database, board, "ends"):
        await gate.reached.wait()
    published = await client.post("/v1/lifecycles/shop/versions/2/publish", {})
    gate.opened.set()
    async with working(database, board, "goes-on"):
        found = await until(client, where)

    assert published.status_code == 200
    assert (found["state"], found["answer"]) == ("failed", None)
    assert "ask again" in found["reason"]


async def test_what_cannot_be_compared_is_refused_at_once(client: Client) -> None:
    nothing = await client.post("/v1/lifecycles/shop/versions/9/diffs", {})
    mapped = await client.post(
        "/v1/lifecycles/shop/versions/2/diffs", {"policy": "map", "mapping": {"nowhere": "seen"}}
    )
    where = await ask(client)
    other = await client.get(where, scope="profiles:read", workspace="zeta")

    assert nothing.status_code == 404
    assert (mapped.status_code, mapped.json()["slug"]) == (422, "diff.mapping")
    assert (other.status_code, other.json()["slug"]) == (404, "diff.unknown")
