"""The quarantine: refused events are listed, shown and replayed, with real Kafka and PostgreSQL."""

import base64
import json
import uuid
from typing import Any

import httpx
import msgspec
import pytest

from clm_common.bus.kafka import GroupProducer, KafkaSettings
from clm_common.bus.ports import Message
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.topics import TOUCHPOINTS, TOUCHPOINTS_DLQ
from tests.support.ingest import IngestProcess, records_of, until

EVENT = {"type": "track", "event": "Order Completed", "userId": "u-1", "messageId": "m-1"}
PATH = "/v1/admin/quarantine"

Json = dict[str, Any]  # Any: a JSON document

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def ask(shop: IngestProcess, method: str, path: str, **more: Any) -> httpx.Response:
    return await shop.http.request(method, PATH + path, headers=shop.token(), **more)


async def listed(shop: IngestProcess, count: int, **query: str) -> list[Json]:
    """Wait until so many letters are listed, and give them."""
    found: list[Json] = []

    async def there() -> bool:
        answer = await ask(shop, "GET", "", params=query)
        assert answer.status_code == 200, answer.text
        found[:] = answer.json()["letters"]
        return len(found) >= count

    await until(there, seconds=30)
    assert len(found) == count
    return found


async def send(shop: IngestProcess, key: str, *events: object) -> None:
    answer = await shop.http.post("/v1/batch", json={"batch": events}, auth=(key, ""))
    assert answer.status_code == 200


async def touchpoints(bootstrap: str, shop: IngestProcess) -> list[Json]:
    records = await records_of(bootstrap, TOUCHPOINTS, shop.workspace)
    return [json.loads(record.value or b"") for record in records]


async def test_what_is_refused_is_listed_by_every_process_and_shown_as_it_was_sent(
    shop: IngestProcess, other: IngestProcess
) -> None:
    key = await shop.create_source()
    bad = b'{"messageId":"m-bad",   "event": "X\xc3\xa9"}'
    single = await shop.http.post("/v1/track", content=bad, auth=(key, ""))

    (letter,) = await listed(shop, 1)
    (there,) = await listed(other, 1)
    detail = (await ask(other, "GET", f"/{letter['id']}")).json()

    assert single.status_code == 400
    assert letter == there
    assert letter["reason"] == "touchpoint.identity_missing"
    assert letter["message_id"] == "m-bad"
    assert base64.b64decode(detail["original"]) == bad
    assert detail["text"] == bad.decode()
    assert detail["kind"] == "track"


async def test_letters_are_found_by_what_they_are_and_come_in_pages(shop: IngestProcess) -> None:
    one, two = await shop.create_source("one"), await shop.create_source("two")
    sources = (await shop.http.get("/v1/admin/sources", headers=shop.token())).json()["sources"]
    await send(shop, one, *[{"type": "track", "event": "X", "messageId": f"a-{n}"} for n in (1, 2)])
    await send(shop, two, {"type": "sale", "userId": "u", "messageId": "b-1"})
    everything = await listed(shop, 3)

    of_source = await listed(shop, 2, source=sources[0]["id"])
    of_reason = await listed(shop, 1, reason="touchpoint.type_unknown")
    of_message = await listed(shop, 1, message_id="a-2")
    since = await listed(shop, 0, since="2100-01-01T00:00:00Z")
    first = (await ask(shop, "GET", "?limit=2")).json()
    second = (await ask(shop, "GET", f"?limit=2&cursor={first['next']}")).json()

    assert {letter["message_id"] for letter in of_source} == {"a-1", "a-2"}
    assert [letter["message_id"] for letter in of_reason] == ["b-1"]
    assert [letter["message_id"] for letter in of_message] == ["a-2"]
    assert since == []
    assert first["letters"] + second["letters"] == everything
    assert second["next"] is None


async def test_a_letter_that_is_replayed_twice_after_a_fix_lands_once(
    shop: IngestProcess, other: IngestProcess, kafka_bootstrap: str
) -> None:
    key = await shop.create_source()
    await send(shop, key, {"type": "track", "event": "Order Completed", "messageId": "m-7"})
    (letter,) = await listed(shop, 1)
    place = f"/{letter['id']}/replay"
    mended = {"type": "track", "event": "Order Completed", "userId": "u-7", "messageId": "other"}

    unmended = await ask(shop, "POST", place)
    first = await ask(shop, "POST", place, json={"body": mended})
    second = await ask(other, "POST", place)
    landed = await touchpoints(kafka_bootstrap, shop)

    assert (unmended.status_code, unmended.json()["slug"]) == (422, "touchpoint.identity_missing")
    assert first.json() == {
        "replayed": [letter["id"]], "already": [], "refused": [], "next": None,
    }  # fmt: skip
    assert second.json()["already"] == [letter["id"]]
    assert landed == [{**mended, "messageId": "m-7"}]
    assert await listed(shop, 0) == []
    (done,) = await listed(shop, 1, state="replayed")
    assert done["replayed_by"] == "test"


async def test_an_event_without_an_id_gets_the_same_one_at_every_replay(
    shop: IngestProcess, kafka_bootstrap: str
) -> None:
    key = await shop.create_source()
    await shop.http.post("/v1/track", json={"event": "X"}, auth=(key, ""))
    (letter,) = await listed(shop, 1)

    for _ in range(2):
        answer = await ask(
            shop, "POST", f"/{letter['id']}/replay", json={"body": {"event": "X", "userId": "u"}}
        )
        assert answer.status_code == 200

    landed = await touchpoints(kafka_bootstrap, shop)
    assert {event["messageId"] for event in landed} == {letter["id"]}
    assert {event["type"] for event in landed} == {"track"}


async def test_an_event_of_which_only_the_beginning_is_kept_is_not_replayed(
    shop: IngestProcess, kafka_bootstrap: str
) -> None:
    key = await shop.create_source()
    await send(shop, key, {**EVENT, "properties": {"x": "y" * 600_000}})
    (letter,) = await listed(shop, 1)

    refused = await ask(shop, "POST", f"/{letter['id']}/replay")
    whole = await ask(shop, "POST", f"/{letter['id']}/replay", json={"body": EVENT})

    assert letter["truncated"] is True
    assert letter["size"] == 512 * 1024
    assert (refused.status_code, refused.json()["slug"]) == (409, "letter.truncated")
    assert whole.status_code == 200
    assert len(await touchpoints(kafka_bootstrap, shop)) == 1


async def test_many_are_replayed_oldest_first_and_those_that_stay_are_named(
    shop: IngestProcess, kafka_bootstrap: str
) -> None:
    key = await shop.create_source()
    source = (await shop.http.get("/v1/admin/sources", headers=shop.token())).json()["sources"][0]
    place = f"/v1/admin/sources/{source['id']}"
    policy = {"limits": {"event_bytes": 256}}
    await shop.http.patch(place, json={"policy": policy}, headers=shop.token())
    events = [{**EVENT, "messageId": f"m-{n}", "name": "n" * 200} for n in range(5)]
    await send(shop, key, *events, {"type": "track", "event": "nobody"})
    await listed(shop, 6)
    nothing = await ask(shop, "POST", "/replay", json={})

    outcomes = [await ask(shop, "POST", "/replay", json={"all": True, "limit": 4})]
    while cursor := outcomes[-1].json()["next"]:
        outcomes.append(
            await ask(shop, "POST", "/replay", json={"all": True, "limit": 4, "cursor": cursor})
        )

    codes = [it["code"] for answer in outcomes for it in answer.json()["refused"]]
    assert (nothing.status_code, nothing.json()["slug"]) == (422, "quarantine.nothing_wanted")
    assert sorted(codes) == ["letter.truncated"] * 5 + ["touchpoint.identity_missing"]
    assert await touchpoints(kafka_bootstrap, shop) == []


async def test_after_the_cause_is_gone_all_of_a_reason_are_replayed_in_order(
    shop: IngestProcess, kafka_bootstrap: str
) -> None:
    key = await shop.create_source()
    source = (await shop.http.get("/v1/admin/sources", headers=shop.token())).json()["sources"][0]
    ids = [f"m-{n}" for n in range(30)]
    letters = [
        DeadLetter(
            reason="touchpoint.invalid",
            detail="a defect of ours, mended since",
            at=f"2026-11-25T10:00:{n:02}Z",
            original=json.dumps({**EVENT, "messageId": name}).encode(),
            workspace=shop.workspace,
            source=source["id"],
            message_id=name,
        )
        for n, name in enumerate(ids)
    ]
    await publish(kafka_bootstrap, TOUCHPOINTS_DLQ.name, shop.workspace, letters)
    await listed(shop, 30, limit="100")

    answer = await ask(shop, "POST", "/replay", json={"reason": "touchpoint.invalid"})
    again = await ask(shop, "POST", "/replay", json={"reason": "touchpoint.invalid"})

    landed = await touchpoints(kafka_bootstrap, shop)
    assert len(answer.json()["replayed"]) == 30
    assert again.json()["replayed"] == []
    assert [event["messageId"] for event in landed] == ids
    assert key not in json.dumps(landed)


async def publish(bootstrap: str, topic: str, workspace: str, letters: list[DeadLetter]) -> None:
    async with GroupProducer(KafkaSettings(bootstrap=bootstrap)) as producer:
        await producer.publish(
            [Message(topic, f"{workspace}:x".encode(), msgspec.json.encode(it)) for it in letters]
        )


def buried(workspace: str | None, source: str | None, original: bytes, offset: int) -> DeadLetter:
    """Give the letter of a record, as stage-engine buries it."""
    uri = f"/workspaces/{workspace}/sources/{source}"
    return DeadLetter(
        reason="touchpoint.header_missing",
        detail="header 'ce_time' is missing",
        at="2026-11-25T10:00:00Z",
        original=original,
        topic=TOUCHPOINTS.name,
        partition=3,
        offset=offset,
        key=f"{workspace}:u-1".encode() if workspace else None,
        headers={"ce_id": "m-9", "ce_source": uri} if source else {},
    )


async def test_records_that_stage_engine_could_not_read_are_listed_and_replayed(
    shop: IngestProcess, kafka_bootstrap: str
) -> None:
    await shop.create_source()
    source = (await shop.http.get("/v1/admin/sources", headers=shop.token())).json()["sources"][0]
    number = uuid.uuid4().int % 10**12
    letter = buried(shop.workspace, source["id"], json.dumps(EVENT).encode(), number)
    sourceless = buried(shop.workspace, None, json.dumps(EVENT).encode(), number + 1)
    await publish(kafka_bootstrap, TOUCHPOINTS_DLQ.name, "x", [letter, letter, sourceless])
    found = {it["message_id"]: it for it in await listed(shop, 2)}

    known = await ask(shop, "POST", f"/{found['m-9']['id']}/replay")
    place = f"/{found[None]['id']}/replay"
    unknown = await ask(shop, "POST", place)
    foreign = await ask(shop, "POST", place, json={"source": str(uuid.uuid4())})
    named = await ask(shop, "POST", place, json={"source": source["id"]})

    assert found["m-9"]["topic"] == TOUCHPOINTS.name
    assert (known.status_code, named.status_code) == (200, 200)
    assert (unknown.status_code, unknown.json()["slug"]) == (422, "letter.source_unknown")
    assert (foreign.status_code, foreign.json()["slug"]) == (422, "source.unknown")
    records = await records_of(kafka_bootstrap, TOUCHPOINTS, shop.workspace)
    assert len(records) == 2
    assert {dict(record.headers)["ce_source"] for record in records} == {
        f"/workspaces/{shop.workspace}/sources/{source['id']}".encode()
    }


async def test_what_is_nobodys_is_shown_to_an_operator_only(
    shop: IngestProcess, kafka_bootstrap: str
) -> None:
    number = uuid.uuid4().int % 10**12
    await publish(
        kafka_bootstrap, TOUCHPOINTS_DLQ.name, "x", [buried(None, None, b"\xff{", number)]
    )
    operator = shop.token("quarantine:read", "operator")
    found: list[Json] = []

    async def there() -> bool:
        answer = await shop.http.get(PATH, headers=operator)
        found[:] = answer.json()["letters"]
        return bool(found)

    await until(there, seconds=30)
    detail = await shop.http.get(f"{PATH}/{found[0]['id']}", headers=operator)
    hidden = await shop.http.get(f"{PATH}/{found[0]['id']}", headers=shop.token())

    assert await listed(shop, 0) == []
    assert detail.json()["text"] is None
    assert base64.b64decode(detail.json()["original"]) == b"\xff{"
    assert (hidden.status_code, hidden.json()["slug"]) == (404, "letter.unknown")


async def test_strangers_see_nothing_and_scopes_are_asked_for(shop: IngestProcess) -> None:
    key = await shop.create_source()
    await send(shop, key, {"type": "track", "event": "X"})
    (letter,) = await listed(shop, 1)
    stranger = shop.token("admin", workspace="somebody-else")
    reader, foreign = shop.token("quarantine:read"), shop.token("sources:write")
    one = f"{PATH}/{letter['id']}"

    seen = await shop.http.get(PATH, headers=stranger)
    statuses = [
        (await shop.http.get(one, headers=stranger)).status_code,
        (await shop.http.post(f"{one}/replay", headers=stranger)).status_code,
        (await shop.http.get(one, headers=reader)).status_code,
        (await shop.http.post(f"{one}/replay", headers=reader)).status_code,
        (await shop.http.get(PATH, headers=foreign)).status_code,
    ]

    assert seen.json()["letters"] == []
    assert statuses == [404, 404, 200, 403, 403]
