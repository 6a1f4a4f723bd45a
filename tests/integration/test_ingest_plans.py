"""Tracking plans by the admin API, acted by in two processes, with real PostgreSQL and Kafka."""

import asyncio
import json
import uuid
from typing import Any

import pytest

from clm_common.contracts.topics import TOUCHPOINTS
from tests.support.ingest import (
    IngestProcess,
    letters_of,
    records_of,
    until,
)

PLAN = "/v1/admin/plan"
SCHEMA = {"properties": {"revenue": {"type": "number"}}, "required": ["revenue"]}

Json = dict[str, Any]  # Any: a JSON document

pytestmark = pytest.mark.asyncio(loop_scope="module")


def plan(mode: str, **more: object) -> Json:
    return {"mode": mode, "events": [{"event": "Order Completed", "schema": SCHEMA}], **more}


async def put(shop: IngestProcess, body: Json, path: str = PLAN) -> Json:
    answer = await shop.http.put(path, json=body, headers=shop.token())
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def order(shop: IngestProcess, key: str, **properties: object) -> Json:
    event = {
        "type": "track", "event": "Order Completed", "userId": "u-1", "properties": properties,
        "messageId": uuid.uuid4().hex,
    }  # fmt: skip
    answer = await shop.http.post("/v1/batch", json={"batch": [event]}, auth=(key, ""))
    assert answer.status_code == 200
    found: Json = answer.json()
    return found


async def test_a_plan_is_acted_by_in_every_process_within_two_seconds(
    shop: IngestProcess, other: IngestProcess, kafka_bootstrap: str
) -> None:
    key = await shop.create_source()

    async def known() -> bool:
        return (await other.http.get(f"/v1/projects/{key}/settings")).status_code == 200

    async def refused() -> bool:
        return "rejected" in await order(other, key, revenue="a lot")

    await until(known, seconds=10)
    await put(shop, plan("quarantine"))
    here = await order(shop, key, revenue="a lot")
    there = await until(refused, seconds=10)
    good = await order(shop, key, revenue=7)

    assert [it["code"] for it in here["rejected"]] == ["plan.violation"]
    assert there < 2
    assert good == {"success": True}
    letter = (await letters_of(kafka_bootstrap, shop.workspace))[-1]
    assert letter.reason == "plan.violation"
    assert "/properties/revenue" in letter.detail
    assert "a lot" not in letter.detail
    assert json.loads(letter.original)["properties"] == {"revenue": "a lot"}


async def test_a_sources_own_plan_stands_for_the_workspaces(
    shop: IngestProcess, kafka_bootstrap: str
) -> None:
    strict, lenient = await shop.create_source("strict"), await shop.create_source("lenient")
    sources = (await shop.http.get("/v1/admin/sources", headers=shop.token())).json()["sources"]
    own = f"/v1/admin/sources/{sources[1]['id']}/plan"
    await put(shop, plan("quarantine"))
    await put(shop, plan("drop"), own)

    by_workspace = await order(shop, strict, revenue="a lot")
    by_own = await order(shop, lenient, revenue="a lot", coupon="X")
    both = (await shop.http.get("/v1/admin/plans", headers=shop.token())).json()["plans"]
    await shop.http.delete(own, headers=shop.token())
    after = await order(shop, lenient, revenue="a lot")

    assert "rejected" in by_workspace
    assert by_own == {"success": True}
    assert [it["source"] for it in both] == [None, sources[1]["id"]]
    assert "rejected" in after
    (record,) = await records_of(kafka_bootstrap, TOUCHPOINTS, shop.workspace)
    landed = json.loads(record.value or b"")
    assert landed["properties"] == {}
    assert landed["context"]["protocols"]["omitted"] == ["revenue", "coupon"]


async def test_what_violates_a_plan_is_counted_over_all_processes_and_published(
    shop: IngestProcess, other: IngestProcess, kafka_bootstrap: str
) -> None:
    key = await shop.create_source()

    async def known() -> bool:
        return (await other.http.get(f"/v1/projects/{key}/settings")).status_code == 200

    await until(known, seconds=10)
    await put(shop, plan("observe"))
    await asyncio.sleep(1.5)  # the other process follows
    before = await shop.metric("clm_plan_violations_total", "observed")
    for process in (shop, shop, other):
        await order(process, key, revenue="a lot")
    report: list[Json] = []

    async def counted() -> bool:
        answer = await shop.http.get(f"{PLAN}/violations", headers=shop.token())
        report[:] = answer.json()["violations"]
        return bool(report) and report[0]["count"] == 3

    await until(counted, seconds=20)
    stranger = await shop.http.get(
        f"{PLAN}/violations", headers=shop.token("admin", workspace="somebody-else")
    )
    await shop.http.delete(f"{PLAN}/violations", headers=shop.token())
    emptied = await shop.http.get(f"{PLAN}/violations", headers=shop.token())

    (row,) = report
    assert (row["event"], row["version"], row["reaction"]) == ("Order Completed", 1, "observed")
    assert (row["path"], row["rule"]) == ("/properties/revenue", "/properties/revenue/type")
    assert stranger.json() == emptied.json() == {"violations": []}
    assert await shop.metric("clm_plan_violations_total", "observed") == before + 2
    assert len(await records_of(kafka_bootstrap, TOUCHPOINTS, shop.workspace)) == 3


async def test_unknown_events_may_be_quarantined_and_are_replayed_once_the_plan_knows_them(
    shop: IngestProcess, kafka_bootstrap: str
) -> None:
    key = await shop.create_source()
    await put(shop, {"mode": "observe", "unknown": "quarantine", "events": []})
    refused = await order(shop, key, revenue=7)
    letters = "/v1/admin/quarantine?reason=plan.unknown_event"

    async def listed() -> bool:
        return bool((await shop.http.get(letters, headers=shop.token())).json()["letters"])

    await until(listed, seconds=20)
    many = {"reason": "plan.unknown_event"}
    replay = "/v1/admin/quarantine/replay"
    early = (await shop.http.post(replay, json=many, headers=shop.token())).json()
    await put(shop, plan("quarantine", unknown="quarantine"))
    late = (await shop.http.post(replay, json=many, headers=shop.token())).json()

    assert [it["code"] for it in refused["rejected"]] == ["plan.unknown_event"]
    assert [it["code"] for it in early["refused"]] == ["plan.unknown_event"]
    assert len(late["replayed"]) == 1
    assert len(await records_of(kafka_bootstrap, TOUCHPOINTS, shop.workspace)) == 1


async def test_a_plan_is_read_changed_as_it_was_read_and_removed(shop: IngestProcess) -> None:
    missing = await shop.http.get(PLAN, headers=shop.token())
    first = await shop.http.put(PLAN, json=plan("observe"), headers=shop.token())
    tag = {"if-match": first.headers["etag"]}
    second = await shop.http.put(PLAN, json=plan("drop"), headers={**shop.token(), **tag})
    late = await shop.http.put(PLAN, json=plan("observe"), headers={**shop.token(), **tag})
    read = await shop.http.get(PLAN, headers=shop.token())
    removed = await shop.http.delete(PLAN, headers=shop.token())
    again = await shop.http.delete(PLAN, headers=shop.token())

    assert (missing.status_code, missing.json()["slug"]) == (404, "plan.unknown")
    assert (second.status_code, late.status_code) == (200, 412)
    assert read.json()["plan"]["mode"] == "drop"
    assert read.json()["plan"]["events"][0]["schema"] == SCHEMA
    assert read.headers["etag"] == second.headers["etag"]
    assert (removed.status_code, again.status_code) == (204, 404)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mode": "x"},
        {"events": [{"event": "A", "schema": {"$ref": "https://example.com/schema"}}]},
        {"events": [{"event": "A", "schema": {"type": 7}}]},
        {"events": [{"event": "A", "schema": {}, "extra": 1}]},
    ],
)
async def test_a_plan_that_cannot_be_is_refused_with_place_and_reason(
    shop: IngestProcess, wrong: Json
) -> None:
    answer = await shop.http.put(PLAN, json=wrong, headers=shop.token())

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith("#/")
    assert answer.json()["errors"][0]["detail"]


async def test_a_schema_may_hold_what_jsonb_could_not(shop: IngestProcess) -> None:
    body = {"events": [{"event": "A", "schema": {"const": "a\x00b"}}]}

    stored = await put(shop, body)

    assert stored["plan"]["events"][0]["schema"] == {"const": "a\x00b"}
