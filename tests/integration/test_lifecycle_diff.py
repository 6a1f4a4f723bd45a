"""The diff of a lifecycle over a stored history, as its program gives it, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from clm_common.runtime.tokens import generate_key_pair, jwks
from clm_common.store.database import Database
from clm_stage_engine import definitions
from clm_stage_engine.changing.comparison import Comparison, Place, Question
from clm_stage_engine.core.eras import Course
from clm_stage_engine.core.fold import order
from clm_stage_engine.queries import people
from clm_stage_engine.queries.people import FIRST, Among
from clm_stage_engine.store import versions
from clm_stage_engine.store.versions import Terms, Written
from tests.support.buyers import NEW, OLD, PEOPLE
from tests.support.commands import Done, program
from tests.support.engine import NOW


@pytest.fixture
async def database(buyers_url: str) -> AsyncGenerator[Database]:
    async with Database(
        buyers_url, schema="stage_engine", name="diff", seconds=people.SECONDS
    ) as opened:
        yield opened


def compare(place: Place | None = None, *, workspace: str | None = None) -> Comparison:
    old, new = definitions.parse(OLD), definitions.parse(NEW)
    question = Question(new.digest, old.digest, workspace, 1.0, 2)
    return Comparison(Course.of(new), Course.of(old), place or Place(question, NOW))


def figures(answer: bytes) -> dict[str, Any]:  # Any: JSON
    """Give an answer but for what it cost."""
    return {name: value for name, value in json.loads(answer).items() if name != "pace"}


async def run(url: str, *arguments: str, folder: Path | None = None) -> Done:
    """Run the program."""
    given = {
        "CLM_DATABASE_URL": url,
        "CLM_KAFKA_BOOTSTRAP": "127.0.0.1:1",  # it needs no Kafka
        "CLM_TOKEN_KEYS": jwks([generate_key_pair().public]),
    }
    if folder is not None:
        given |= {"CLM_LIFECYCLE_DIR": str(folder), "CLM_LIFECYCLE": "shop"}
    return await program("clm_stage_engine.changing.diff", *arguments, **given)


async def test_the_program_tells_of_each_stage_who_moves_and_what_would_be_published(
    buyers_url: str, tmp_path: Path
) -> None:
    (tmp_path / "shop.yaml").write_text(OLD)
    new = tmp_path / "tried" / "draft.yaml"
    new.parent.mkdir()
    new.write_text(NEW)

    code, out, told = await run(buyers_url, str(new), "--json", folder=tmp_path)
    _, text, _ = await run(buyers_url, str(new), "--workspace", "zeta", folder=tmp_path)

    assert code == 0, told
    answer = json.loads(out)
    each = PEOPLE // 4
    assert answer["people"] == PEOPLE
    assert answer["touchpoints"] == 2 * PEOPLE + each * (1 + 2 + 3)
    assert [
        (it["stage"], it["now"], it["then"], it["earlier"], it["left"], it["entered"])
        for it in answer["stages"]
    ] == [
        ("seen", each, each, 0, 0, 0),
        ("buyer", 2 * each, each, 0, each, 0),
        ("regular", each, 2 * each, each, 0, each),
    ]
    assert answer["moved"] == [{"from": "buyer", "to": "regular", "people": each}]
    assert answer["stage_changes"] == [
        {"stage": "regular", "retracted": each, "asserted": 2 * each}
    ]
    shown = {it["verdict"]: it for it in answer["examples"]}
    assert [it["stage"] for it in shown["moved"]["now"]] == ["seen", "buyer"]
    assert [it["stage"] for it in shown["moved"]["then"]] == ["seen", "buyer", "regular"]
    assert "buyer  regular      30" in text, text


async def test_the_definition_that_runs_held_against_itself_changes_nothing(
    buyers_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(OLD)

    code, out, told = await run(buyers_url, str(file), folder=tmp_path)

    assert code == 0, told
    assert "nobody's timeline changes" in out


async def test_the_diff_of_a_mapping_moves_whom_it_renames_and_takes_nothing_back(
    buyers_url: str, tmp_path: Path
) -> None:
    (tmp_path / "shop.yaml").write_text(OLD)
    new = tmp_path / "tried" / "draft.yaml"
    new.parent.mkdir()
    new.write_text(NEW.replace("regular", "fan"))

    lacking, _, advice = await run(buyers_url, str(new), "--policy=map", folder=tmp_path)
    code, out, told = await run(
        buyers_url, str(new), "--policy=map", "--map=regular=fan", "--json", folder=tmp_path
    )
    _, pinned, _ = await run(buyers_url, str(new), "--policy=pin", "--json", folder=tmp_path)

    assert lacking == 65
    assert "no counterpart for regular" in advice
    assert code == 0, told
    answer = json.loads(out)
    assert (answer["policy"], answer["people"]) == ("map", PEOPLE)
    assert answer["moved"] == [{"from": "regular", "to": "fan", "people": PEOPLE // 4}]
    assert answer["stage_changes"] == [{"stage": "fan", "retracted": 0, "asserted": PEOPLE // 4}]
    assert json.loads(pinned)["stage_changes"] == []


async def test_a_definition_is_held_against_what_the_workspace_published(
    buyers_url: str, tmp_path: Path, database: Database
) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(OLD)
    old, new = (Written(definitions.parse(it).digest, it, "ada", "") for it in (OLD, NEW))
    async with database.transaction() as tx:
        version = await versions.add(tx, "acme", "shop", new, old)
        await versions.publish(tx, version, Terms(NOW), "ada", "")

    everybody, _, advice = await run(buyers_url, str(file), folder=tmp_path)
    whole, out, told = await run(
        buyers_url, str(file), "--workspace=acme", "--json", folder=tmp_path
    )
    _, same, _ = await run(
        buyers_url, str(file), "--workspace=acme", "--against=1", "--json", folder=tmp_path
    )
    _, other, _ = await run(buyers_url, str(file), "--workspace=zeta", "--json", folder=tmp_path)

    assert everybody == 78
    assert "--workspace" in advice
    assert whole == 0, told
    assert json.loads(out)["against"] == {"key": "shop", "definition": new.digest}
    assert json.loads(out)["stage_changes"] != []
    for answer in (same, other):
        assert json.loads(answer)["against"] == {"key": "shop", "definition": old.digest}
        assert json.loads(answer)["stage_changes"] == []


async def test_what_cannot_be_right_is_refused_with_its_line(
    buyers_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "shop.yaml"
    file.write_text(NEW.replace("to: regular", "to: regulr"))

    code, out, told = await run(buyers_url, str(file))
    nobody, _, unknown = await run(buyers_url, str(tmp_path / "none.yaml"))
    file.write_text(NEW)
    away, _, advice = await run("postgresql://clm@127.0.0.1:1/clm", str(file))

    assert (code, out) == (65, "")
    assert "shop.yaml:7" in told
    assert nobody == 65
    assert "none.yaml" in unknown
    assert away == 75, advice


async def test_a_run_that_was_broken_off_goes_on_and_gives_the_same_answer(
    buyers_url: str, tmp_path: Path, database: Database
) -> None:
    whole = await compare().run(database, lambda _: None)
    broken = compare()

    def stop(counted: int) -> None:
        if counted == 50:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await broken.run(database, stop)
    assert broken.place.found.people == 50
    checkpoint = tmp_path / "place.json"
    checkpoint.write_bytes(msgspec.json.encode(broken.place))
    (tmp_path / "shop.yaml").write_text(OLD)
    tried = tmp_path / "tried" / "shop.yaml"
    tried.parent.mkdir()
    tried.write_text(NEW)
    given = ("--checkpoint", str(checkpoint), "--examples", "2", "--json")

    other, _, refusal = await run(buyers_url, str(tmp_path / "shop.yaml"), *given, folder=tmp_path)
    code, out, told = await run(buyers_url, str(tried), *given, folder=tmp_path)

    assert (other, code) == (78, 0), told
    assert "another question" in refusal
    assert "going on after 50 people" in told
    assert figures(out.encode()) == figures(msgspec.json.encode(whole))
    assert not checkpoint.exists()


async def test_a_sample_is_always_the_same_part_of_the_people(database: Database) -> None:
    everybody = [it.id async for it in people.people(database, Among(None))]
    half = [it.id async for it in people.people(database, Among(None, 0.5))]
    quarter = [it.id async for it in people.people(database, Among(None, 0.25))]

    assert len(everybody) == PEOPLE
    assert half == everybody[: len(half)]
    assert quarter == everybody[: len(quarter)]
    assert 0 < len(quarter) < len(half) < PEOPLE
    assert await people.count(database, Among(None, 0.5), FIRST) == len(half)


async def test_pages_and_the_cursors_portions_part_nobody(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {it.id: order(it.touches) async for it in people.people(database, Among("acme"))}
    monkeypatch.setattr(people, "_ROWS", 2)
    monkeypatch.setattr(people, "_IDS", people._IDS.replace(f"LIMIT {people.PAGE}", "LIMIT 7"))

    small = {it.id: order(it.touches) async for it in people.people(database, Among("acme"))}

    assert small == whole
    assert len(whole) == PEOPLE // 2
    assert sum(map(len, whole.values())) == PEOPLE + 2 * PEOPLE // 4 * 2
