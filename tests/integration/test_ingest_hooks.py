"""Hooks of a workspace, with real PostgreSQL and Kafka, and two processes."""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio

from clm_common.contracts.topics import TOUCHPOINTS
from tests.support.ingest import (
    IngestProcess,
    ingest,
    records_of,
    two_ingests,
    until,
)
from tests.support.servers import DatabaseServer
from tests.support.signing import SECRETS, signed

PATH = "/v1/admin/hooks"
SECRET = SECRETS["stripe"]
KEY = {"CLM_SECRETS_KEY": "a random text that is long enough"}
MAPPING = """\
key: crm-calls
id: body.call
touchpoints:
  - {when: body.call, event: Call Ended, userId: body.who, timestamp: body.at}
"""
CALL = {"call": "c-1", "who": "u-1", "at": "2026-11-22T09:00:00Z"}

Json = dict[str, Any]  # Any: a JSON document

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(
    kafka_bootstrap: str, database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[tuple[IngestProcess, IngestProcess]]:
    """Run two ingests with a mapping from a folder of our own."""
    folder: Path = tmp_path_factory.mktemp("mappings")
    (folder / "crm-calls.yaml").write_text(MAPPING)
    environment = {**KEY, "CLM_INGEST_HOOK_DIR": str(folder)}
    async with two_ingests(kafka_bootstrap, database_server, environment) as both:
        yield both


async def ask(shop: IngestProcess, method: str, path: str, **body: object) -> httpx.Response:
    return await shop.http.request(method, PATH + path, json=body, headers=shop.token())


async def source_of(shop: IngestProcess) -> str:
    await shop.create_source()
    found = (await shop.http.get("/v1/admin/sources", headers=shop.token())).json()
    return str(found["sources"][0]["id"])


async def create(shop: IngestProcess, **more: object) -> Json:
    fields: Mapping[str, object] = {
        "name": "payments",
        "source": await source_of(shop),
        "mapping": "crm-calls",
        "scheme": "stripe",
        "secret": SECRET,
    }
    answer = await ask(shop, "POST", "", **{**fields, **more})
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    return made


async def send(
    shop: IngestProcess, hook: Json, body: object = CALL, *, secret: str = SECRET
) -> int:
    raw = json.dumps(body).encode()
    headers = signed("stripe", secret, raw, at=int(time.time()))
    return (await shop.http.post(hook["path"], content=raw, headers=headers)).status_code


async def test_changes_of_a_hook_are_acted_by_in_every_process_within_two_seconds(
    shop: IngestProcess, other: IngestProcess
) -> None:
    hook = await create(shop)

    async def answered(status: int, secret: str = SECRET) -> float:
        async def so() -> bool:
            return await send(other, hook, secret=secret) == status

        return await until(so, seconds=10)

    waits = [await answered(200)]
    await ask(shop, "POST", f"/{hook['id']}/disable")
    waits.append(await answered(403))
    await ask(shop, "POST", f"/{hook['id']}/enable")
    waits.append(await answered(200))
    await ask(shop, "POST", f"/{hook['id']}/rotate", secret="another")
    waits.append(await answered(200, "another"))
    old = await send(other, hook)
    await ask(shop, "POST", f"/{hook['id']}/rotate", secret="a third", grace_seconds=0)
    waits.append(await answered(401, "another"))

    assert old == 200, "the one before is taken for a day"
    assert max(waits) < 2


async def test_a_secret_is_shown_once_and_kept_encrypted(shop: IngestProcess) -> None:
    made = await create(shop, scheme="standard-webhooks", secret=None)
    shown = (await ask(shop, "GET", f"/{made['id']}")).json()
    listed = (await ask(shop, "GET", "")).json()["hooks"]

    connection = await asyncpg.connect(shop.database_url)
    try:
        query = "SELECT secret FROM ingest.hook WHERE id = $1"
        kept: bytes = await connection.fetchval(query, uuid.UUID(made["id"]))
    finally:
        await connection.close()

    assert made["secret"].startswith("whsec_")
    assert made["secret"].encode() not in kept
    assert "secret" not in shown
    assert listed == [shown]
    assert shown["has_secret"]


async def test_a_secret_that_the_user_gives_is_not_shown_at_all(shop: IngestProcess) -> None:
    made = await create(shop)

    assert made["secret"] is None
    assert SECRET not in json.dumps(made)


async def test_a_senders_secret_can_be_given_once_it_is_known(shop: IngestProcess) -> None:
    hook = await create(shop, secret=None)

    before = await send(shop, hook)
    refused = await ask(shop, "POST", f"/{hook['id']}/rotate")
    rotated = await ask(shop, "POST", f"/{hook['id']}/rotate", secret=SECRET)

    assert (hook["has_secret"], before) == (False, 401)
    assert (refused.status_code, refused.json()["code"]) == (422, "hook.secret_missing")
    assert rotated.json()["previous_until"] is None
    assert await send(shop, hook) == 200


async def test_a_hook_that_cannot_be_is_refused(shop: IngestProcess) -> None:
    good = {"name": "a", "source": await source_of(shop), "mapping": "crm-calls"}
    wrong: list[tuple[Json, int, str]] = [
        ({"scheme": "stripe", "mapping": "nope"}, 422, "hook.mapping_unknown"),
        ({"scheme": "stripe", "source": str(uuid.uuid4())}, 422, "source.unknown"),
        ({"scheme": "write-key", "secret": "s"}, 422, "hook.secret_unused"),
        ({"scheme": "standard-webhooks", "secret": "no base64"}, 422, "hook.secret_invalid"),
    ]
    for fields, status, code in wrong:
        answer = await ask(shop, "POST", "", **{**good, **fields})
        assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert (await ask(shop, "POST", "", **good, scheme="write-key")).status_code == 201
    again = await ask(shop, "POST", "", **good, scheme="write-key")
    assert (again.status_code, again.json()["code"]) == (409, "hook.exists")


async def test_another_workspace_sees_no_hook_and_changes_none(shop: IngestProcess) -> None:
    hook = await create(shop)
    stranger = shop.token(workspace="ws-stranger")

    for method, what in [("GET", ""), ("POST", "/disable"), ("POST", "/rotate"), ("POST", "/test")]:
        body: object = {"body": {}} if what == "/test" else None
        answer = await shop.http.request(
            method, f"{PATH}/{hook['id']}{what}", json=body, headers=stranger
        )
        assert answer.status_code == 404, what
    assert await send(shop, hook) == 200


async def test_a_webhook_can_be_tried_out_and_nothing_is_kept(
    shop: IngestProcess, kafka_bootstrap: str
) -> None:
    hook = await create(shop)

    fine = (await ask(shop, "POST", f"/{hook['id']}/test", body=CALL)).json()
    unfit = (await ask(shop, "POST", f"/{hook['id']}/test", body={"call": "c-2"})).json()
    other = (await ask(shop, "POST", f"/{hook['id']}/test", body='{"a": 1}')).json()

    assert fine["touchpoints"][0]["event"] == "Call Ended"
    assert fine["touchpoints"][0]["messageId"] == f"{hook['id']}-c-1-0"
    assert [it["code"] for it in unfit["refused"]] == ["hook.identity_missing"]
    assert other == {"touchpoints": [], "refused": [], "ignored": True}
    assert not await records_of(kafka_bootstrap, TOUCHPOINTS, shop.workspace)


async def test_a_body_that_could_not_be_read_is_replayed_through_the_mapping(
    shop: IngestProcess, kafka_bootstrap: str
) -> None:
    hook = await create(shop)
    broken = {"call": "c-9", "at": CALL["at"]}
    assert await send(shop, hook, broken) == 200
    letters: list[Json] = []

    async def listed() -> bool:
        answer = await shop.http.get("/v1/admin/quarantine", headers=shop.token())
        letters[:] = answer.json()["letters"]
        return bool(letters)

    await until(listed, seconds=30)
    place = f"/v1/admin/quarantine/{letters[0]['id']}"
    shown = (await shop.http.get(place, headers=shop.token())).json()
    still = await shop.http.post(f"{place}/replay", headers=shop.token())
    mended = {"body": {**broken, "who": "u-9"}}
    replayed = await shop.http.post(f"{place}/replay", json=mended, headers=shop.token())

    (record,) = await records_of(kafka_bootstrap, TOUCHPOINTS, shop.workspace)
    landed = json.loads(record.value or b"")
    assert json.loads(shown["text"]) == broken
    assert (still.status_code, still.json()["code"]) == (422, "hook.identity_missing")
    assert replayed.json()["replayed"] == [letters[0]["id"]]
    assert (landed["messageId"], landed["userId"]) == (f"{hook['id']}-c-9-0", "u-9")


async def test_without_the_right_key_ingest_does_not_start_and_says_which_variable(
    shop: IngestProcess, kafka_bootstrap: str, capfd: pytest.CaptureFixture[str]
) -> None:
    hook = await create(shop)

    with suppress(RuntimeError):
        async with ingest(kafka_bootstrap, shop.database_url) as keyless:
            async with asyncio.timeout(60):
                assert await keyless.process.wait() != 0

    said = capfd.readouterr().err
    assert "CLM_SECRETS_KEY" in said
    assert hook["id"] in said
