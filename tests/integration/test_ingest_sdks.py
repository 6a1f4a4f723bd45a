"""The real Python SDKs against ingest as a process; each is only told where it is."""

import asyncio
import json
import uuid
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from posthog import Posthog
from rudderstack.analytics.client import (  # type: ignore[import-untyped] # it has no types
    Client as RudderClient,
)

from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.contracts.touchpoint import HISTORICAL, MARKS_HEADER
from tests.support import captured
from tests.support.ingest import (
    IngestProcess,
    create_ingest_topics,
    ingest,
    letters_of,
    records_of,
)
from tests.support.servers import DatabaseServer

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Errors(list[Exception]):
    """What an SDK complained of."""

    def note(self, error: Exception, _batch: object) -> None:
        """Be told; an SDK's `on_error`."""
        self.append(error)


Json = dict[str, Any]  # Any: a JSON document


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process(
    kafka_bootstrap: str, database_server: DatabaseServer
) -> AsyncGenerator[IngestProcess]:
    """Run one ingest for all of these tests, with everything it can do."""
    await create_ingest_topics(kafka_bootstrap)
    database_url = await database_server.create()
    everything = {"CLM_INGEST_POSTHOG": "true"}
    async with ingest(kafka_bootstrap, database_url, environment=everything) as running:
        await running.until_ready()
        yield running
    await database_server.drop(database_url)


@pytest.fixture
def shop(process: IngestProcess) -> IngestProcess:
    """Give the process, with a workspace that no other test has seen."""
    process.workspace = f"ws-{uuid.uuid4().hex[:12]}"
    return process


async def landed(shop: IngestProcess, bootstrap: str) -> list[Json]:
    records = await records_of(bootstrap, TOUCHPOINTS, shop.workspace)
    return [json.loads(record.value or b"") for record in records]


def send_by_posthog(key: str, host: str, **more: Any) -> Errors:  # Any: the SDK's options
    errors = Errors()
    client = Posthog(
        key,
        host=host,
        on_error=errors.note,
        max_retries=1,
        disable_geoip=False,
        **more,
    )
    client.capture("Order Completed", distinct_id="u-1", properties={"revenue": 12.5})
    client.set(distinct_id="u-1", properties={"email": "a@example.com"})
    client.alias("a-1", "u-1")
    client.group_identify("company", "c-1", {"name": "C"}, distinct_id="u-1")
    client.capture("$pageview", distinct_id="u-1", properties={"$current_url": "https://s/x"})
    client.capture("Looked Around")  # nobody
    client.flush()
    client.shutdown()
    return errors


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"gzip": True},
        {"capture_mode": "v1"},
        {"capture_mode": "v1", "capture_compression": "gzip"},
        {"capture_mode": "v1", "capture_compression": "deflate"},
    ],
    ids=str,
)
async def test_every_event_of_posthogs_sdk_lands_once_in_either_protocol(
    shop: IngestProcess, kafka_bootstrap: str, options: Json
) -> None:
    key = await shop.create_source()

    errors = await asyncio.to_thread(send_by_posthog, key, shop.url, **options)

    assert errors == []
    events = await landed(shop, kafka_bootstrap)
    assert sorted(
        (event["type"], event.get("userId")) for event in events if "userId" in event
    ) == [
        ("alias", "u-1"),
        ("group", "u-1"),
        ("identify", "u-1"),
        ("page", "u-1"),
        ("track", "u-1"),
    ]
    (nobody,) = [event for event in events if "userId" not in event]
    assert (nobody["event"], len(nobody["anonymousId"])) == ("Looked Around", 36)
    assert len({event["messageId"] for event in events}) == 6
    assert events[0]["context"]["library"]["name"] == "posthog-python"
    (identify,) = [event for event in events if event["type"] == "identify"]
    assert identify["traits"] == {"email": "a@example.com"}
    (alias,) = [event for event in events if event["type"] == "alias"]
    assert alias["previousId"] == "a-1"


@pytest.mark.parametrize("options", [{}, {"capture_mode": "v1"}], ids=str)
async def test_what_posthogs_sdk_migrates_is_marked_historical(
    shop: IngestProcess, kafka_bootstrap: str, options: Json
) -> None:
    key = await shop.create_source()

    errors = await asyncio.to_thread(
        send_by_posthog, key, shop.url, historical_migration=True, **options
    )

    assert errors == []
    records = await records_of(kafka_bootstrap, TOUCHPOINTS, shop.workspace)
    assert [dict(it.headers).get(MARKS_HEADER) for it in records] == [HISTORICAL.encode()] * 6


async def test_posthogs_second_protocol_is_told_which_event_was_refused(
    shop: IngestProcess, kafka_bootstrap: str
) -> None:
    key = await shop.create_source()

    def send() -> Errors:
        errors = Errors()
        client = Posthog(key, host=shop.url, capture_mode="v1", on_error=errors.note)
        client.capture("Good", distinct_id="u-1")
        client.capture("Bad", distinct_id="u" * 300)
        client.flush()
        client.shutdown()
        return errors

    (error,) = await asyncio.to_thread(send)

    ((message_id, details),) = vars(error)["drops"]
    (letter,) = await letters_of(kafka_bootstrap, shop.workspace)
    assert letter.reason == "touchpoint.id_invalid"
    assert (letter.message_id, letter.reason in details) == (message_id, True)
    assert [event["event"] for event in await landed(shop, kafka_bootstrap)] == ["Good"]


def send_by_rudderstack(key: str, host: str) -> Errors:
    errors = Errors()
    client: Any = RudderClient(  # Any: the SDK is untyped
        key, host=host, on_error=errors.note, max_retries=1
    )
    client.identify("u-1", traits={"email": "b@example.com"}, anonymous_id="a-1")
    client.track("u-1", "Order Completed", {"revenue": 12.5})
    client.page("u-1", name="Home")
    client.screen("u-1", name="Start")
    client.group("u-1", "g-1")
    client.alias("a-1", "u-1")
    client.flush()
    client.join()
    return errors


async def test_every_event_of_rudderstacks_sdk_lands_once_and_in_order(
    shop: IngestProcess, kafka_bootstrap: str
) -> None:
    key = await shop.create_source()

    errors = await asyncio.to_thread(send_by_rudderstack, key, shop.url)

    assert errors == []
    events = await landed(shop, kafka_bootstrap)
    kinds = ["identify", "track", "page", "screen", "group", "alias"]
    assert [event["type"] for event in events] == kinds
    assert events[0]["context"]["traits"] == {"email": "b@example.com"}


@pytest.mark.parametrize("sent", captured.ALL, ids=str)
async def test_what_sdks_send_is_taken_over_a_real_connection(
    shop: IngestProcess, sent: captured.Captured
) -> None:
    key = await shop.create_source()
    path = sent.path.replace(captured.WRITE_KEY, key)
    headers = {**sent.headers, "x-write-key": key}
    headers.pop("authorization", None)

    answer = await shop.http.post(path, content=sent.body, headers=headers)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


async def test_without_the_setting_there_are_no_captures(
    kafka_bootstrap: str, database_url: str
) -> None:
    async with ingest(kafka_bootstrap, database_url) as plain:
        await plain.until_ready()
        answer = await plain.http.post("/batch/", json={"batch": []})

    assert answer.status_code == 404
    assert answer.json()["code"] == "http.not_found"
