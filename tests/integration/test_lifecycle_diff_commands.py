"""`clm lifecycle diff` of a version, as somebody types it, on a running engine."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg
import pytest
import pytest_asyncio

from tests.support.desk import OWN, Desk, Servers

AGAIN: Final = re.compile(r"clm lifecycle diff --job ([0-9a-f-]{36})")

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give version 1 of `own` as a file."""
    file = tmp_path_factory.mktemp("definitions") / "first.yaml"
    file.write_text(OWN)
    return file


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(servers: Servers, first: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Give a workspace with two people, where version 2 of `own` decides and 1 did before."""
    made = Desk(servers, tmp_path_factory.mktemp("home") / "data")
    await made.peopled()
    second = first.with_name("second.yaml")
    second.write_text(OWN.replace("nth: 3", "nth: 2"))
    await made.clm("lifecycle", "publish", str(first), "--beside", "--no-wait")
    await made.clm("lifecycle", "publish", str(second))
    return made


@asynccontextmanager
async def nobody_free(desk: Desk) -> AsyncGenerator[None]:
    """Have diffs that are asked for meanwhile wait, as if others worked on them, until the end."""
    db = await asyncpg.connect(desk.servers.database)
    lease = "ALTER TABLE stage_engine.lifecycle_diff ALTER lease_until SET DEFAULT"
    try:
        await db.execute(f"{lease} 'infinity'")
        yield
    finally:
        await db.execute(f"{lease} '-infinity'")
        await db.execute("UPDATE stage_engine.lifecycle_diff SET lease_until = '-infinity'")
        await db.close()


async def interrupted(desk: Desk, *arguments: str) -> str:
    """Press ctrl-C once the diff is asked for; gives what the command says then."""

    def run() -> str:
        with desk.own.start("lifecycle", "diff", *arguments) as command:
            assert command.stderr is not None
            try:
                assert "was asked for" in command.stderr.readline()
                command.send_signal(signal.SIGINT)
                out, told = command.communicate(timeout=30)
            finally:
                command.kill()
        assert (command.returncode, out) == (130, ""), told
        return told

    return await asyncio.to_thread(run)


async def test_a_version_is_compared_and_the_answer_is_the_file_s(desk: Desk, first: Path) -> None:
    version, file = ("1", "--lifecycle", "own"), str(first)

    shown = await desk.clm("lifecycle", "diff", *version)
    of_file = await desk.clm("lifecycle", "diff", file)
    told = json.loads(await desk.clm("lifecycle", "diff", *version, "--json"))
    told_of_file = json.loads(await desk.clm("lifecycle", "diff", file, "--json"))

    assert told["moved"] == [{"from": "retention", "to": "buyer", "people": 1}]
    for it in told, told_of_file:
        del it["until"], it["pace"]
    assert told == told_of_file
    assert lasting(shown) == lasting(of_file)
    assert re.search(r"^retention +buyer +1$", shown, re.MULTILINE)


def lasting(report: str) -> list[str]:
    """Give the lines of a report that do not say when it was made and how long that took."""
    lines = [re.sub(r", as of .*", "", it) for it in report.splitlines()]
    return [it for it in lines if not it.startswith("Read in ")]


async def test_how_a_version_is_compared_is_asked_for(desk: Desk) -> None:
    terms = ("--policy", "map", "--map", "gone=seen", "--examples", "0", "--against", "1")

    told = json.loads(
        await desk.clm("lifecycle", "diff", "2", "--lifecycle", "own", *terms, "--json")
    )
    half = json.loads(
        await desk.clm("lifecycle", "diff", "1", "--lifecycle", "own", "--sample", "0.5", "--json")
    )

    assert (told["policy"], told["moved"], told["examples"]) == ("map", [], [])
    assert (half["sample"], half["workspace"]) == (0.5, desk.workspace)


async def test_an_interrupted_command_says_how_to_go_on_and_the_job_is_picked_up_again(
    desk: Desk,
) -> None:
    async with nobody_free(desk):
        told = await interrupted(desk, "1", "--lifecycle", "own")
    found = AGAIN.search(told)
    assert found, told

    shown = await desk.clm("lifecycle", "diff", "--job", found[1])
    later = json.loads(await desk.clm("lifecycle", "diff", "--job", found[1], "--json"))

    assert "2 people, 5 touchpoints" in shown
    assert later["until"] in shown


async def test_a_job_is_given_up(desk: Desk) -> None:
    async with nobody_free(desk):
        found = AGAIN.search(await interrupted(desk, "1", "--lifecycle", "own"))
        assert found
        job = ("lifecycle", "diff", "--job", found[1])

        done = await desk.clm(*job, "--cancel")
        shown = await desk.clm(*job, code=1)
        twice = await desk.clm(*job, "--cancel", code=1)

    assert f"Diff {found[1]} is given up." in done
    assert f"Diff {found[1]} was given up." in shown
    assert "has ended already: cancelled" in twice


async def test_what_cannot_be_compared_is_said_in_a_sentence(desk: Desk) -> None:
    own = ("1", "--lifecycle", "own")
    refused = {
        "own has no version 7": ("7", "--lifecycle", "own"),
        "nope has no version 1": ("1", "--lifecycle", "nope"),
        "there is no stage nope": (*own, "--policy", "map", "--map", "nope=seen"),
        "policy": (*own, "--policy", "nope"),
        "sample": (*own, "--sample", "0"),
        "there is no diff": ("--job", str(uuid.uuid4())),
    }
    misused = {
        "name a definition's file": (),
        "needs --job ID": ("--cancel",),
        "by its number": (*own, "--against", "shop"),
        "is for a file": (*own, "--restart"),
        "is for a version's number": ("first.yaml", "--lifecycle", "own"),
        "leave it out": ("--job", str(uuid.uuid4()), "--policy", "pin"),
    }

    for code, cases in (1, refused), (2, misused):
        for said, arguments in cases.items():
            told = await desk.clm("lifecycle", "diff", *arguments, code=code)
            assert said in re.sub(r"[\s│]+", " ", told), told
