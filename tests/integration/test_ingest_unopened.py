"""A body that is no JSON is kept, listed, shown and replayed, with real Kafka and PostgreSQL."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from clm_common.bus.kafka import GroupProducer, KafkaSettings
from clm_common.bus.ports import Message
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.topics import TOUCHPOINTS, TOUCHPOINTS_DLQ
from clm_common.runtime.tokens import KeyPair, generate_key_pair
from tests.support.ingest import IngestProcess, create_ingest_topics, ingest, records_of, until
from tests.support.installation import Installation, Json
from tests.support.servers import DatabaseServer

EVENTS = [
    {"type": "track", "event": "Order Completed", "userId": "u-1", "messageId": f"m-{n}"}
    for n in range(3)
]
PATH = "/v1/admin/quarantine"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(
    kafka_bootstrap: str, database_server: DatabaseServer
) -> AsyncGenerator[tuple[IngestProcess, KeyPair]]:
    await create_ingest_topics(kafka_bootstrap)
    url, signer = await database_server.create(), generate_key_pair()
    async with ingest(kafka_bootstrap, url, signer=signer) as running:
        await running.until_ready()
        yield running, signer
    await database_server.drop(url)


@pytest.fixture
def shop(started: tuple[IngestProcess, KeyPair]) -> IngestProcess:
    started[0].renew_workspace()
    return started[0]


async def listed(shop: IngestProcess, count: int) -> list[Json]:
    """Wait until so many letters are listed, and give them, newest first."""
    found: list[Json] = []

    async def there() -> bool:
        found[:] = (await shop.http.get(PATH, headers=shop.token())).json()["letters"]
        return len(found) >= count

    await until(there, seconds=30)
    assert len(found) == count
    return found


async def landed(bootstrap: str, shop: IngestProcess) -> list[Json]:
    records = await records_of(bootstrap, TOUCHPOINTS, shop.workspace)
    return [json.loads(record.value or b"") for record in records]


async def test_a_batch_that_was_cut_is_shown_and_replayed_with_a_mended_body(
    shop: IngestProcess, own: Installation, kafka_bootstrap: str, tmp_path: Path
) -> None:
    key = await shop.create_source()
    whole = json.dumps({"batch": EVENTS}).encode()
    mended = tmp_path / "mended.json"
    mended.write_bytes(whole)

    answer = await shop.http.post(
        "/v1/batch", content=whole[:-7], auth=(key, ""), headers={"content-type": "text/plain"}
    )
    (letter,) = await listed(shop, 1)
    detail = (await shop.http.get(f"{PATH}/{letter['id']}", headers=shop.token())).json()
    in_list = own.clm("quarantine", "list", "--reason", "body.malformed")
    shown = own.clm("quarantine", "show", letter["id"])
    stays = own.clm("quarantine", "replay", letter["id"], code=1)
    done = own.clm("quarantine", "replay", letter["id"], "--body", str(mended))

    assert (answer.status_code, answer.json()["code"]) == (400, "body.malformed")
    assert letter["reason"] == "body.malformed"
    assert (detail["text"], detail["request"]) == (whole[:-7].decode(), "POST /v1/batch")
    assert detail["headers"] == {"content-type": "text/plain"}
    assert letter["id"] in in_list
    assert shown == whole[:-7].decode() + "\n"
    assert "the body is not JSON" in stays
    assert "is replayed" in done
    assert await landed(kafka_bootstrap, shop) == EVENTS
    assert await listed(shop, 0) == []


async def test_an_array_that_was_cut_is_replayed_with_an_array(
    shop: IngestProcess, own: Installation, kafka_bootstrap: str
) -> None:
    key = await shop.create_source()
    kind = {"content-type": "application/cloudevents-batch+json"}
    event = {"specversion": "1.0", "id": "1", "source": "/crm", "type": "called", "subject": "ada"}
    whole = json.dumps([event, {**event, "id": "2"}])

    answer = await shop.http.post("/v1/events", content=whole[:-3], auth=(key, ""), headers=kind)
    (letter,) = await listed(shop, 1)
    own.clm("quarantine", "replay", letter["id"], "--body", "-", typed=whole)

    assert (answer.status_code, answer.json()["code"]) == (400, "body.malformed")
    assert [it["userId"] for it in await landed(kafka_bootstrap, shop)] == ["ada", "ada"]


async def test_a_body_that_this_release_can_read_lands_and_its_bad_event_gets_a_letter(
    shop: IngestProcess, own: Installation, kafka_bootstrap: str
) -> None:
    await shop.create_source()
    source = (await shop.http.get("/v1/admin/sources", headers=shop.token())).json()["sources"][0]
    bad = {"type": "track", "event": "X", "messageId": "m-bad"}
    letter = DeadLetter(
        reason="body.malformed",
        detail="an older release could not read it",
        at="2026-11-25T10:00:00Z",
        original=json.dumps({"batch": [*EVENTS, bad]}).encode(),
        workspace=shop.workspace,
        source=source["id"],
        request="POST /v1/batch",
    )
    async with GroupProducer(KafkaSettings(bootstrap=kafka_bootstrap)) as producer:
        value = msgspec.json.encode(letter)
        await producer.publish([Message(TOUCHPOINTS_DLQ.name, b"x", value)])
    await listed(shop, 1)

    replayed = own.clm("quarantine", "replay", "--reason", "body.malformed", "--yes")

    assert "1 replayed, 0 stay." in replayed
    assert await landed(kafka_bootstrap, shop) == EVENTS
    (left,) = await listed(shop, 1)
    assert (left["reason"], left["message_id"]) == ("touchpoint.identity_missing", "m-bad")


async def test_a_pixel_and_a_broken_gzip_are_kept(
    shop: IngestProcess, own: Installation, kafka_bootstrap: str
) -> None:
    key = await shop.create_source()
    batch = json.dumps({"batch": EVENTS}).encode()
    gzipped = {"content-encoding": "gzip"}

    pixel = await shop.http.get(f"/v1/pixel/track?data=%7B%22userId%22&writeKey={key}")
    broken = await shop.http.post("/v1/batch", content=batch, auth=(key, ""), headers=gzipped)
    letters = {it["reason"]: it["id"] for it in await listed(shop, 2)}
    shown = own.clm("quarantine", "show", letters["touchpoint.malformed"])
    own.clm("quarantine", "replay", letters["body.gzip"])

    assert (pixel.status_code, pixel.headers["content-type"]) == (200, "image/gif")
    assert (broken.status_code, broken.json()["code"]) == (400, "body.gzip")
    assert shown == "data=%7B%22userId%22\n"
    assert await landed(kafka_bootstrap, shop) == EVENTS, "it was JSON that was called gzip"
