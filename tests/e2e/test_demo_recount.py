"""`clm demo`: what the services show is what the clickstream says, however often it is run."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import httpx
import msgspec
import pytest

from clm_common import instant
from clm_common.clock import SystemClock
from clm_local.demo import clickstream, dataset
from clm_local.demo.recount import Truth, recount
from tests.support.installation import Installation, Json, installation
from tests.support.servers import local_paths

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def own(server_home: Path) -> Generator[Installation]:
    with installation(server_home / "demo", local_paths().downloads) as made:
        made.clm("up")
        yield made


@pytest.fixture(scope="module")
def report(own: Installation) -> Json:
    """Give what the first run prints."""
    shown: Json = msgspec.json.decode(own.clm("demo", "--json"))
    return shown


@pytest.fixture(scope="module")
def truth(own: Installation, report: Json) -> Truth:
    """Count the file, as it was shifted by the demo, up to now."""
    last = instant.from_rfc3339(f"{report['last_day']}T22:02:40Z")
    rows = dataset.read(dataset.ensure(own.paths.downloads / "demo"))
    shift = last - max(it.time for it in rows)
    assert shift % instant.DAY == 0
    return recount(rows, shift=shift, now=SystemClock().now())


def ask(own: Installation, service: str, path: str, **question: str) -> Json:
    """Ask a service's API."""
    token = own.workspace.token
    answer = httpx.get(
        f"{own.url(service)}{path}",
        params=question,
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    )
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


def test_everybody_stands_where_their_history_says(own: Installation, report: Json) -> None:
    replayed = msgspec.json.decode(own.clm("replay", "--json"))

    assert replayed["differed"] == {}
    assert replayed["same"] >= report["people"]["profiles"]


def test_every_event_that_was_sent_landed(report: Json, truth: Truth) -> None:
    assert report["events"] == {"sent": truth.events, "landed": truth.events, "errors": {}}


def test_every_person_is_one_profile(report: Json, truth: Truth) -> None:
    assert report["people"]["profiles"] == truth.profiles
    assert report["people"]["known"] == 552


def test_the_demo_finds_no_difference_to_its_own_recount(report: Json) -> None:
    assert report["recount"]["differences"] == []


def test_people_per_stage_are_those_of_the_file(report: Json, truth: Truth) -> None:
    assert {it["stage"]: it["people"] for it in report["stages"]} == report["recount"]["truth"][
        "people"
    ]
    assert {it["stage"]: it["reached"] for it in report["stages"]} == truth.entered


def test_entries_per_day_are_those_of_the_file(
    own: Installation, report: Json, truth: Truth
) -> None:
    days = {"from": report["first_day"], "to": report["last_day"], "grain": "day"}
    figures = ask(own, "metrics", "/v1/kpis/stage-entries", lifecycle="reach", **days)

    for series in figures["series"]:
        shown = {it["from"]: it["value"] for it in series["points"] if it["value"]}
        counted = truth.entries[series["stage"]].items()
        assert shown == {day: count for day, count in counted if day < report["last_day"]}


def test_conversion_is_the_share_of_those_in_the_stage_before(report: Json, truth: Truth) -> None:
    shares = {it["stage"]: it["conversion"] for it in report["stages"]}

    assert shares["conversion"] == truth.entered["conversion"] / truth.entered["acquisition"]
    assert shares["loyalty"] == truth.entered["loyalty"] / truth.entered["retention"]


def test_only_those_of_the_last_two_days_are_written_to(
    own: Installation, report: Json, truth: Truth
) -> None:
    mails = httpx.get(f"{own.url('mail')}/api/messages").json()["messages"]

    since = SystemClock().now() - 2 * instant.DAY
    live = {person for person, time in truth.welcomes.items() if time >= since}
    assert live
    assert report["mails"]["planned"] == len(truth.welcomes)
    assert report["mails"]["fates"]["sent"] == report["mails"]["caught"] == len(mails)
    assert {it["recipients"][0] for it in mails} >= {clickstream.email_of(it) for it in live}
    assert len(mails) <= len(live) + 1  # one may leave the window while the demo runs


def test_two_people_were_merged_and_unmerged_and_are_as_they_were(report: Json) -> None:
    merge = report["merge"]

    touchpoints = sum(it["touchpoints"] for it in merge["before"])
    assert merge["merged"] == {"stage": "retention", "touchpoints": touchpoints}
    assert merge["after"] == merge["before"]
    assert [it["stage"] for it in merge["before"]] == ["conversion", "conversion"]


def test_a_timeline_begins_with_the_first_anonymous_visit(own: Installation) -> None:
    rows = dataset.read(dataset.ensure(own.paths.downloads / "demo"))
    visits = [row for row in rows if row.person == "user_0000"]
    (profile,) = ask(own, "stage-engine", "/v1/profiles", user_id="user_0000")["profiles"]

    timeline = ask(own, "stage-engine", f"/v1/profiles/{profile['id']}/timeline", limit="1000")

    touchpoints = [it for it in timeline["entries"] if it["kind"] == "touchpoint"]
    stages = [it["target"] for it in timeline["entries"] if it["kind"] == "stage_changed"]
    assert len(touchpoints) == len(visits) + 1  # the identify
    assert touchpoints[0]["type"] == "page"
    assert stages[:2] == ["reach", "acquisition"]


def test_a_second_run_changes_nothing(own: Installation, report: Json) -> None:
    again: Json = msgspec.json.decode(own.clm("demo", "--json"))

    for part in ("events", "people", "stages", "mails", "first_day", "last_day"):
        assert again[part] == report[part]
    assert again["recount"]["differences"] == []
