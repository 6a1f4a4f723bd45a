"""Metrics as a process, with real Kafka and real PostgreSQL: publish a river, ask the API."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from clm_common.bus.ports import Message
from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.topics import JOURNEY
from clm_common.instant import DAY, from_rfc3339, to_datetime, to_rfc3339
from tests.support.forking import fork
from tests.support.metrics_process import River, environment, metrics
from tests.support.river import Recount, applied, message, path, retraction

STAGES = ("reach", "acquisition", "conversion", "retention", "loyalty")
ORDER = '{"reach": ["reach", "acquisition", "conversion", "retention", "loyalty"]}'
FROM = from_rfc3339("2026-03-01T00:00:00Z")


@pytest.fixture
async def river(kafka_bootstrap: str) -> River:
    found = River(kafka_bootstrap)
    await found.prepare()
    return found


def crowd(workspace: str, people: int, chance: random.Random) -> list[StageChange]:
    """Let people walk through the stages; some of their steps are taken back."""
    found: list[StageChange] = []
    for index in range(people):
        at = FROM + chance.randrange(60 * DAY)
        steps: list[tuple[str, str]] = []
        for stage in STAGES[: chance.randint(1, len(STAGES))]:
            steps.append((to_rfc3339(at), stage))
            at += chance.randrange(1, 5 * DAY)
        walked = path(f"person-{index}", *steps, workspace=workspace)
        found += walked
        if chance.random() < 0.2:
            found.append(retraction(walked[-1], version=10))
    return found


def messages_of(
    changes: Sequence[StageChange], workspace: str, chance: random.Random
) -> list[Message]:
    """Shuffle the changes, repeat some and put touchpoints between them."""
    published = [message(each) for each in changes]
    published += chance.sample(published, len(published) // 5)
    published += [
        message(applied(f"person-{n}", "2026-03-01T10:00:00Z", message_id="m", workspace=workspace))
        for n in range(len(changes))
    ]
    chance.shuffle(published)
    return published


async def test_a_river_in_any_order_with_kills_gives_the_figures_of_a_recount(
    river: River, kafka_bootstrap: str, database_url: str
) -> None:
    chance = random.Random(7)
    changes = crowd(river.workspace, 800, chance)
    published = messages_of(changes, river.workspace, chance)
    half = len(published) // 2
    told = environment(
        kafka_bootstrap,
        database_url,
        CLM_REPORT_TIME_ZONES=f'{{"{river.workspace}": "Europe/Berlin"}}',
        CLM_STAGE_ORDER=ORDER,
    )

    async with metrics(told, river.workspace) as first:
        await river.publish(published[:half])
        await first.until_some()
        first.kill()
    await river.publish([Message(JOURNEY.name, b"broken", b"no message at all")])
    await river.publish(published[half:])
    async with metrics(told, river.workspace) as second:
        recount = Recount(changes, zone="Europe/Berlin", workspace=river.workspace)
        await second.until_entries(recount.entries().total())
        funnel = (await second.ask("/v1/stages", lifecycle="reach"))["lifecycles"][0]["stages"]
        whole = {"from": "2026-03-01", "to": "2026-07-01"}
        entries = await second.ask("/v1/kpis/stage-entries", **whole)
        people = await second.ask("/v1/kpis/people-per-stage", **whole)
        cohorts = await second.ask("/v1/kpis/stage-conversion", **whole, grain="month")
        gauges = (await second.http.get("/metrics")).text
        code = await second.stop()

    reached = recount.reached()
    assert [each["stage"] for each in funnel] == list(STAGES)
    assert {each["stage"]: each["people"] for each in funnel} == dict(recount.people())
    assert {each["stage"]: each["reached"] for each in funnel} == dict(reached)
    assert funnel[4]["from_previous"]["denominator"] == reached["retention"]
    assert entries["time_zone"] == "Europe/Berlin"
    assert {
        (each["stage"], point["from"]): point["value"]
        for each in entries["series"]
        for point in each["points"]
        if point["value"]
    } == dict(recount.entries())
    for day in (to_datetime(FROM + n * 9 * DAY).date().isoformat() for n in range(8)):
        assert {
            each["stage"]: point["value"]
            for each in people["series"]
            for point in each["points"]
            if point["from"] == day and point["value"]
        } == dict(recount.people(until=day))
    april = recount.reached(since="2026-04-01", before="2026-05-01")
    assert {
        each["stage"]: (each["points"][1]["numerator"], each["points"][1]["denominator"])
        for each in cohorts["series"]
    } == {stage: (april[stage], april["reach"]) for stage in STAGES}
    assert f'stage="reach",workspace="{river.workspace}"' in gauges
    assert code == 0


async def test_a_wrong_setting_ends_the_process_at_once_and_is_named(
    kafka_bootstrap: str, database_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    told = environment(kafka_bootstrap, database_url, CLM_REPORT_TIME_ZONE="Europe/Atlantis")

    process = await fork("clm_metrics", told)

    assert await process.wait() == 78
    assert "CLM_REPORT_TIME_ZONE=Europe/Atlantis" in capfd.readouterr().err
