"""Ingest as a process, with real Kafka, real PostgreSQL and the real Segment SDK."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from segment.analytics.client import Client

from clm_common.contracts import envelope
from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.runtime.tokens import generate_key_pair
from tests.support.ingest import (
    IngestProcess,
    create_ingest_topics,
    ingest,
    letters_of,
    records_of,
    until,
)
from tests.support.servers import DatabaseServer

EVENT = {"type": "track", "event": "Order Completed", "userId": "u-1", "messageId": "m-1"}


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process(
    kafka_bootstrap: str, database_server: DatabaseServer
) -> AsyncGenerator[IngestProcess]:
    """Run one ingest for all of these tests."""
    await create_ingest_topics(kafka_bootstrap)
    database_url = await database_server.create()
    async with ingest(kafka_bootstrap, database_url) as running:
        await running.until_ready()
        yield running
    await database_server.drop(database_url)


@pytest.fixture
def shop(process: IngestProcess) -> IngestProcess:
    """Give the process, with a workspace that no other test has seen."""
    process.workspace = f"ws-{uuid.uuid4().hex[:12]}"
    return process


def send_a_visit(write_key: str, host: str, *, zipped: bool) -> list[Exception]:
    """Send one of each kind of call as a shop's server would; gives what the SDK complained of."""
    errors: list[Exception] = []

    def complain(error: Exception, _batch: object) -> None:
        errors.append(error)

    client: Any = Client(  # Any: the SDK is untyped
        write_key, host=host, on_error=complain, gzip=zipped, max_retries=2
    )
    client.identify(
        "u-1", traits={"email": "a@example.com", "born": datetime(1990, 1, 1, tzinfo=UTC)}
    )
    client.page("u-1", name="Home")
    client.screen("u-1", name="Start")
    client.group("u-1", "g-1")
    client.alias("a-1", "u-1")
    for number in range(250):
        client.track("u-1", "Product Viewed", {"number": number}, anonymous_id="a-1")
    client.flush()
    client.join()
    return errors


@pytest.mark.parametrize("zipped", [False, True])
async def test_every_event_of_the_segment_sdk_lands_once_and_in_order(
    shop: IngestProcess, kafka_bootstrap: str, *, zipped: bool
) -> None:
    write_key = await shop.create_source()

    errors = await asyncio.to_thread(send_a_visit, write_key, shop.url, zipped=zipped)

    assert errors == []
    records = await records_of(kafka_bootstrap, TOUCHPOINTS, shop.workspace)
    events = [json.loads(record.value or b"") for record in records]
    kinds = ["identify", "page", "screen", "group", "alias", *["track"] * 250]
    assert [event["type"] for event in events] == kinds
    assert [event["properties"]["number"] for event in events[5:]] == list(range(250))
    assert len({event["messageId"] for event in events}) == 255
    assert {record.key for record in records} == {f"{shop.workspace}:u-1".encode()}
    for record, event in zip(records, events, strict=True):
        read = envelope.read(record.headers)
        assert read.id == event["messageId"]
        assert read.type == f"clm.touchpoint.{event['type']}.v1"
        assert dict(read.extensions).keys() == {"receivedtime"}
        sent = datetime.fromisoformat(event["timestamp"])
        assert read.time is not None
        assert datetime.fromisoformat(read.time) == sent


async def test_the_segment_sdk_is_told_that_a_key_is_unknown(shop: IngestProcess) -> None:
    errors = await asyncio.to_thread(send_a_visit, "wk_nobody", shop.url, zipped=False)

    assert errors
    assert all("write_key.unknown" in str(error) for error in errors)


COUNTED = (
    ("clm_ingest_events_total", 'verdict="admitted"'),
    ("clm_ingest_events_total", 'verdict="refused"'),
    ("clm_dead_letters_total", "touchpoint.malformed"),
    ("clm_http_requests_total", 'route="/v1/batch"'),
)


async def test_a_broken_event_lies_on_the_dead_letters_with_its_original_bytes(
    shop: IngestProcess, kafka_bootstrap: str
) -> None:
    write_key = await shop.create_source()
    broken = b'{"type": "track", "event": "X", "userId": "u-1", "properties": {"price": NaN}}'
    body = b'{"batch": [' + broken + b", " + json.dumps(EVENT).encode() + b"]}"

    before = [await shop.metric(*metric) for metric in COUNTED]

    answer = await shop.http.post("/v1/batch", content=body, auth=(write_key, ""))

    assert answer.status_code == 200
    assert [each["index"] for each in answer.json()["rejected"]] == [0]
    (letter,) = await letters_of(kafka_bootstrap, shop.workspace)
    assert (letter.reason, letter.original, letter.index) == ("touchpoint.malformed", broken, 0)
    assert len(await records_of(kafka_bootstrap, TOUCHPOINTS, shop.workspace)) == 1
    after = [await shop.metric(*metric) for metric in COUNTED]
    assert after == [count + 1 for count in before]


async def test_broken_json_is_a_400_and_an_unknown_key_a_401(shop: IngestProcess) -> None:
    write_key = await shop.create_source()

    broken = await shop.http.post("/v1/track", content=b"{", auth=(write_key, ""))
    unknown = await shop.http.post("/v1/track", json=EVENT, auth=("wk_nobody", ""))

    assert (broken.status_code, broken.json()["code"]) == (400, "body.malformed")
    assert (unknown.status_code, unknown.json()["code"]) == (401, "write_key.unknown")


async def test_a_source_lives_from_its_creation_to_its_end(shop: IngestProcess) -> None:
    first = await shop.create_source("web")
    (source,) = (await shop.http.get("/v1/admin/sources", headers=shop.token())).json()["sources"]
    place = f"/v1/admin/sources/{source['id']}"

    rotated = await shop.http.post(f"{place}/rotate", headers=shop.token())
    second = rotated.json()["write_key"]
    both = [await _status(shop, key) for key in (first, second)]
    again = await shop.http.post(f"{place}/rotate", json={"grace_seconds": 0}, headers=shop.token())
    third = again.json()["write_key"]
    only_third = [await _status(shop, key) for key in (first, second, third)]
    disabled = await shop.http.post(f"{place}/disable", headers=shop.token())
    none = [await _status(shop, key) for key in (first, second, third)]

    assert first.startswith("wk_")
    assert source["key_hint"] == first[-4:]
    assert "write_key" not in source
    assert both == [200, 200]
    assert only_third == [401, 401, 200]
    assert disabled.json()["disabled_at"] is not None
    assert none == [401, 401, 401]


async def _status(shop: IngestProcess, key: str) -> int:
    return (await shop.http.post("/v1/track", json=EVENT, auth=(key, ""))).status_code


async def test_names_are_unique_in_a_workspace_and_strangers_see_nothing(
    shop: IngestProcess,
) -> None:
    await shop.create_source("web")
    other = shop.token("admin", workspace="somebody-else")
    (source,) = (await shop.http.get("/v1/admin/sources", headers=shop.token())).json()["sources"]

    twice = await shop.http.post("/v1/admin/sources", json={"name": "web"}, headers=shop.token())
    theirs = await shop.http.post("/v1/admin/sources", json={"name": "web"}, headers=other)
    seen = await shop.http.get("/v1/admin/sources", headers=other)
    touched = await shop.http.post(f"/v1/admin/sources/{source['id']}/disable", headers=other)

    assert (twice.status_code, twice.json()["slug"]) == (409, "source.exists")
    assert theirs.status_code == 201
    assert [each["id"] for each in seen.json()["sources"]] == [theirs.json()["id"]]
    assert touched.status_code == 404


async def test_the_admin_api_wants_a_token_with_the_right_scope(shop: IngestProcess) -> None:
    path = "/v1/admin/sources"
    reader = shop.token("sources:read")

    without = await shop.http.get(path)
    foreign = await shop.http.get(path, headers=shop.token("metrics:read"))
    reading = await shop.http.get(path, headers=reader)
    writing = await shop.http.post(path, json={"name": "web"}, headers=reader)
    allowed = await shop.http.post(path, json={"name": "web"}, headers=shop.token("sources:write"))

    assert [answer.status_code for answer in (without, foreign, reading, writing, allowed)] == [
        401, 403, 200, 403, 201,
    ]  # fmt: skip


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "x" * 101}, {"name": "a", "b": 1}])
async def test_a_source_that_cannot_be_is_refused(
    shop: IngestProcess, body: dict[str, object]
) -> None:
    answer = await shop.http.post("/v1/admin/sources", json=body, headers=shop.token())

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_workspace_that_cannot_stand_in_an_address_is_refused(shop: IngestProcess) -> None:
    answer = await shop.http.post(
        "/v1/admin/sources", json={"name": "web"}, headers=shop.token(workspace="a/b")
    )

    assert answer.json()["slug"] == "workspace.invalid"


async def test_every_process_sees_a_new_key_and_its_end_within_two_seconds(
    kafka_bootstrap: str, database_url: str
) -> None:
    signer = generate_key_pair()
    await create_ingest_topics(kafka_bootstrap)
    async with (
        ingest(kafka_bootstrap, database_url, signer=signer) as one,
        ingest(kafka_bootstrap, database_url, signer=signer) as two,
    ):
        await asyncio.gather(one.until_ready(), two.until_ready())

        write_key = await one.create_source()
        appeared = await _seconds_until(two, write_key, 200)
        sources = (await one.http.get("/v1/admin/sources", headers=one.token())).json()["sources"]
        await one.http.post(f"/v1/admin/sources/{sources[0]['id']}/disable", headers=one.token())
        vanished = await _seconds_until(two, write_key, 401)

    assert appeared < 2
    assert vanished < 2


async def _seconds_until(shop: IngestProcess, key: str, status: int) -> float:
    async def answered() -> bool:
        return await _status(shop, key) == status

    return await until(answered, seconds=10)


async def test_keys_are_never_kept_in_clear(shop: IngestProcess, kafka_bootstrap: str) -> None:
    write_key = await shop.create_source()
    await shop.http.post("/v1/track", json={**EVENT, "writeKey": write_key})
    connection = await asyncpg.connect(shop.database_url)
    rows = await connection.fetch(
        "SELECT source::text FROM ingest.source WHERE workspace = $1", shop.workspace
    )
    await connection.close()
    records = await records_of(kafka_bootstrap, TOUCHPOINTS, shop.workspace)

    assert len(rows) == len(records) == 1
    assert write_key[3:-4] not in rows[0][0]
    assert write_key.encode() not in (records[0].value or b"")


async def test_crawlers_are_kept_away_and_the_routes_are_documented(shop: IngestProcess) -> None:
    robots = await shop.http.get("/robots.txt")
    document = (await shop.http.get("/openapi.json")).json()

    assert robots.text == "User-agent: *\nDisallow: /\n"
    assert {"/v1/track", "/v1/batch", "/v1/admin/sources"} <= document["paths"].keys()
    assert "messageId" in document["components"]["schemas"]["Touchpoint"]["properties"]


async def test_told_to_end_it_answers_what_it_has_taken(
    kafka_bootstrap: str, database_url: str
) -> None:
    async with ingest(kafka_bootstrap, database_url) as shop:
        await shop.until_ready()
        write_key = await shop.create_source()
        events = [{**EVENT, "messageId": f"m-{number}"} for number in range(50)]
        requests = [
            asyncio.create_task(shop.http.post("/v1/track", json=each, auth=(write_key, "")))
            for each in events
        ]
        await requests[0]

        code = await shop.stop()

        answers = await asyncio.gather(*requests, return_exceptions=True)
    answered = [each.status_code for each in answers if not isinstance(each, BaseException)]
    landed = await records_of(kafka_bootstrap, TOUCHPOINTS, shop.workspace)
    assert code == 0
    assert set(answered) == {200}
    assert len(landed) >= len(answered)
