"""A sealed river on real servers: unreadable without keys, and with them as good as a plain one."""

from __future__ import annotations

import asyncio
import base64
import json
import random
import secrets
from collections.abc import AsyncGenerator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from clm_common import telemetry
from clm_common.clock import SystemClock
from clm_common.contracts import journey
from clm_common.contracts.ids import profile_id
from clm_common.contracts.journey import ProfileErased
from clm_common.contracts.sealing import is_sealed, key_of
from clm_common.contracts.topics import JOURNEY, STAGE_CHANGES
from clm_common.instant import HOUR
from clm_common.runtime.journey_keys import JourneyKeys
from clm_common.runtime.opening import Opener
from clm_engagement import store as engagement
from clm_engagement.app import open_handler as open_journeys
from clm_engagement.channels import discover
from clm_engagement.definitions import FOLDER, load_definitions
from clm_engagement.handlers import Plans
from clm_metrics import store as metrics
from clm_metrics.core.calendar import Zones
from clm_metrics.handlers import open_handler as open_figures
from tests.support.consuming import consuming
from tests.support.measuring import figures, totals
from tests.support.servers import DatabaseServer, KafkaNode, own_node
from tests.support.shop import COPY, Records, Shop, clickstream, open_shop
from tests.support.touchpoints import touchpoint
from tests.support.wire import documented_sealed, key_id, opened

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]

COUNT: Final = 300
WINDOW: Final = 60 * 86_400_000_000
ADA: Final = str(profile_id("acme", "user_id", "lovelace"))
TABLET: Final = str(profile_id("acme", "anonymous_id", "tablet"))
PLAIN: Final = {"CLM_JOURNEY_SEALED": "false"}
SEALED_COPY: Final = "shop.sealed-copy"

Json = Any  # Any: what an answer holds


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(
    server_home: Path, database_server: DatabaseServer, engine_template: str
) -> AsyncGenerator[Shop]:
    """Run an engine that seals, and let a clickstream and one person with a name come by."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    told = {"CLM_JOURNEY_SEALED": "true", "CLM_JOURNEY_KEY": key}
    with ExitStack() as stack:
        node = own_node(KafkaNode, server_home, stack)
        async with (
            database_server.lend(engine_template) as url,
            open_shop(node, url, told) as running,
        ):
            seen, *known = of_hers()
            await running.send([*clickstream(random.Random(5), COUNT, "a"), seen])
            await running.settled(COUNT + 1)
            await running.send(known)
            await running.settled(COUNT + 3)
            code, _, told_ = await running.republish(**PLAIN)
            assert code == 0, told_
            yield running


@pytest_asyncio.fixture(loop_scope="module")
async def urls(
    database_server: DatabaseServer, metrics_template: str
) -> AsyncGenerator[tuple[str, str]]:
    """Give two databases of metrics."""
    async with (
        database_server.lend(metrics_template) as one,
        database_server.lend(metrics_template) as other,
    ):
        yield one, other


@pytest.fixture
def opener(shop: Shop, tmp_path: Path) -> Opener:
    return Opener(JourneyKeys(shop.http, token_file(shop, tmp_path)))


def token_file(shop: Shop, folder: Path) -> Path:
    file = folder / "keys.token"
    file.write_text(shop.token("*", "journey:keys") + "\n")
    return file


def of_hers() -> list[Any]:  # Any: a message
    now = SystemClock().now()
    mine = partial(touchpoint, workspace="acme")
    return [
        mine(now - 5 * HOUR, anonymous="tablet", kind="page", message_id="tablet-page"),
        mine(now - 4 * HOUR, anonymous="tablet", user="lovelace", kind="identify"),
        mine(now - 3 * HOUR, user="lovelace", event="Order Completed", message_id="lovelace-1"),
    ]


def everything(records: Records) -> bytes:
    """Give all bytes of some records but their keys."""
    return b"\n".join(
        value + b"".join(content for _, content in headers)
        for batch in records.values()
        for _, value, headers in batch
    )


def planning() -> Any:  # Any: what opens handlers
    definitions = load_definitions(FOLDER, discover(), "reach")
    plans = Plans(definitions.journeys, clock=SystemClock(), window=WINDOW)
    return partial(open_journeys, plans)


async def asked(shop: Shop, token: str | None, names: list[UUID]) -> httpx.Response:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=shop.http, timeout=30) as http:
        body = {"ids": [str(it) for it in names]}
        return await http.post("/v1/journey-keys", json=body, headers=headers)


async def test_what_stands_on_the_river_is_as_documented_and_opened_by_the_document(
    shop: Shop,
) -> None:
    batch = next(it for it in (await shop.read(JOURNEY.name)).values() if it)[:50]

    names = sorted({key_id(value) for _, value, _ in batch})
    answer = await asked(shop, shop.token("*", "journey:keys"), names)
    given = {UUID(name): bytes.fromhex(key) for name, key in answer.json()["keys"].items()}

    for about, value, headers in batch:
        documented_sealed(JOURNEY.name, headers, value)
        plain = journey.decode(opened(value, given[key_id(value)], JOURNEY.name, about))
        assert str(plain.profile_id).encode() == about


async def test_nothing_that_somebody_did_or_is_called_can_be_read_off_the_river(shop: Shop) -> None:
    live = await shop.read(JOURNEY.name)

    values = [value for batch in live.values() for _, value, _ in batch]
    told = everything(live)
    plain = everything(await shop.read("clm.touchpoints"))

    assert len(values) > COUNT
    assert all(is_sealed(it) for it in values)
    for word in (b"lovelace", b"tablet", b"Order Completed", b"conversion", b"page"):
        assert word not in told
    assert b"lovelace" in plain  # what came in is kept for a week, as ever
    assert {dict(headers)["ce_type"] for batch in live.values() for _, _, headers in batch} == {
        b"clm.journey.sealed.v1"
    }
    public = await shop.read(STAGE_CHANGES.name)
    assert {json.loads(it[1])["kind"] for batch in public.values() for it in batch} == {
        "stage_changed"
    }


async def test_each_person_has_one_key_and_it_stands_nowhere_unwrapped(shop: Shop) -> None:
    live = await shop.read(JOURNEY.name)
    used = {(key, key_of(value)) for batch in live.values() for key, value, _ in batch}

    answer = await asked(shop, shop.token("*", "journey:keys"), [it for _, it in used][:1000])

    assert len({key for key, _ in used}) == len({name for _, name in used}) == len(used)
    keys = answer.json()["keys"].values()
    async with shop.engine.connection() as db:
        rows = await db.fetch("SELECT it::text AS it FROM person_key AS it")
    stored = "".join(row["it"] for row in rows)
    assert len(set(keys)) == len(used)
    assert [it for it in keys if it in stored] == []


async def test_figures_are_those_of_a_plain_river(
    shop: Shop, urls: tuple[str, str], opener: Opener
) -> None:
    counting = partial(consuming, metrics.SCHEMA, partial(open_figures, Zones()))

    async with (
        counting(urls[0], shop.kafka, JOURNEY.name, opener=opener) as sealed,
        counting(urls[1], shop.kafka, COPY.name) as plain,
    ):
        found, wanted = await figures(sealed), await figures(plain)
        together, everything_ = await totals(sealed), await totals(plain)

    assert found == wanted
    assert together == everything_
    assert sum(together.values()) > COUNT


async def test_engagement_learns_from_a_sealed_river_what_a_plain_one_says(
    shop: Shop, database_server: DatabaseServer, engagement_template: str, opener: Opener
) -> None:
    following = partial(consuming, engagement.SCHEMA, planning())

    async with (
        database_server.lend(engagement_template) as one,
        database_server.lend(engagement_template) as other,
        following(one, shop.kafka, JOURNEY.name, opener=opener) as sealed,
        following(other, shop.kafka, COPY.name) as plain,
    ):
        learnt = [await _learnt(it) for it in (sealed, plain)]

    assert learnt[0] == learnt[1]
    assert sum(map(len, learnt[0])) > COUNT


async def _learnt(database: Any) -> list[list[tuple[Any, ...]]]:  # Any: columns
    tables = ("identity", "trait", "stage_entry")
    async with database.connection() as db:
        return [
            [tuple(row) for row in await db.fetch(f"SELECT * FROM {it} ORDER BY 1, 2")]  # noqa: S608 - constants
            for it in tables
        ]


async def test_keys_are_given_for_a_scope_of_its_own_and_for_ones_own_workspace(shop: Shop) -> None:
    live = await shop.read(JOURNEY.name)
    of = {
        dict(headers)["ce_source"].split(b"/")[2].decode(): key_of(value)
        for batch in live.values()
        for _, value, headers in batch
    }
    acme, zeta = of["acme"], of["zeta"]
    everybody = shop.token("*", "journey:keys")
    own = shop.token("acme", "journey:keys")

    assert (await asked(shop, None, [acme])).status_code == 401
    reader = shop.token("*", "profiles:read")
    assert (await asked(shop, reader, [acme])).status_code == 403
    assert (await asked(shop, own, [acme])).status_code == 200
    for names in ([zeta], [acme, zeta], [UUID(int=7)]):
        refused = await asked(shop, own, names)
        assert (refused.status_code, refused.json()["code"]) == (403, "journey.keys_foreign")
    assert len((await asked(shop, everybody, [acme, zeta])).json()["keys"]) == 2
    assert (await asked(shop, everybody, [UUID(int=7)])).status_code == 403


async def test_a_subscriber_that_gets_no_keys_waits_and_goes_on_when_it_does(
    shop: Shop, urls: tuple[str, str], tmp_path: Path
) -> None:
    token = tmp_path / "keys.token"
    token.write_text(shop.token("acme", "journey:keys"))  # not for zeta
    opener = Opener(JourneyKeys(shop.http, token))
    skipped = telemetry.ERASED_RECORDS.labels(JOURNEY.name)._value.get()
    counting = partial(consuming, metrics.SCHEMA, partial(open_figures, Zones()))

    async def mended() -> None:
        await asyncio.sleep(3)
        token_file(shop, tmp_path)

    mending = asyncio.create_task(mended())
    async with counting(urls[0], shop.kafka, JOURNEY.name, opener=opener) as database:
        early = mending.done()
        found = await totals(database)
    await mending

    assert early
    assert sum(found.values()) > COUNT
    assert telemetry.ERASED_RECORDS.labels(JOURNEY.name)._value.get() == skipped
    letters = await shop.read("clm.journey.dlq")
    assert not letters


async def test_whoever_is_erased_is_unreadable_at_once_and_counted_by_nobody_any_more(
    shop: Shop, urls: tuple[str, str], opener: Opener, tmp_path: Path
) -> None:
    before = await shop.read(JOURNEY.name)
    hers = {ADA.encode(), TABLET.encode()}
    mine = {key_of(it) for batch in before.values() for key, it, _ in batch if key in hers}
    counting = partial(consuming, metrics.SCHEMA, partial(open_figures, Zones()))
    code, result, told = await shop.republish("--to", SEALED_COPY)
    assert code == 0, told
    copied = await shop.read(SEALED_COPY)

    async with counting(urls[0], shop.kafka, JOURNEY.name, opener=opener) as database:
        present = await totals(database)
    receipt = await erase(shop, ADA)
    async with counting(urls[0], shop.kafka, JOURNEY.name, opener=opener) as database:
        live = await figures(database), await totals(database)
    skipped = telemetry.ERASED_RECORDS.labels(JOURNEY.name)._value.get()
    fresh = Opener(JourneyKeys(shop.http, token_file(shop, tmp_path)))
    async with counting(urls[1], shop.kafka, JOURNEY.name, opener=fresh) as database:
        filled = await figures(database), await totals(database)

    assert len(mine) == 2
    assert {it for batch in copied.values() for _, it, _ in batch if is_sealed(it)}
    assert everything(copied).find(b"lovelace") == -1
    answer = await asked(shop, shop.token("*", "journey:keys"), [*mine])
    assert set(answer.json()["keys"].values()) == {None}
    assert sum(live[1].values()) < sum(present.values())
    assert filled == live
    passed = telemetry.ERASED_RECORDS.labels(JOURNEY.name)._value.get() - skipped
    assert passed == sum(key in hers for batch in before.values() for key, _, _ in batch)
    topics = {it["topic"]: it for it in receipt["topics"]}
    at = receipt["stores"][0]["done_at"]
    assert {name for name, it in topics.items() if it["sealed"]} == {JOURNEY.name, SEALED_COPY}
    assert topics[JOURNEY.name]["clean_by"] == at
    assert topics[STAGE_CHANGES.name]["clean_by"] > at
    assert result["facts"] >= COUNT
    after = await shop.read(JOURNEY.name)
    erased = [it for batch in after.values() for key, it, _ in batch if key in hers][-1]
    assert isinstance(journey.decode(erased), ProfileErased)


async def erase(shop: Shop, profile: str) -> Json:
    """Have somebody erased; gives the receipt once topics are told."""
    headers = {"authorization": f"Bearer {shop.token('acme', 'profiles:erase')}"}
    async with httpx.AsyncClient(base_url=shop.http, timeout=30, headers=headers) as http:
        asked_ = await http.post(f"/v1/profiles/{profile}/erase", json={"reason": "by letter"})
        assert asked_.status_code == 202, asked_.text
        async with asyncio.timeout(60):
            while True:
                found = (await http.get(f"/v1/erasures/{asked_.json()['id']}")).json()
                if found["state"] == "erasing":
                    break
                await asyncio.sleep(0.1)
        async with shop.engine.connection() as db:  # as if it had been a minute ago
            await db.execute(
                "INSERT INTO erasure_answer VALUES ($1, 'metrics', 1, now())", UUID(found["id"])
            )
        async with asyncio.timeout(60):
            while True:
                found = (await http.get(f"/v1/erasures/{found['id']}")).json()
                if found["topics"]:
                    return found
                await asyncio.sleep(0.1)


async def test_whoever_comes_back_gets_another_key(shop: Shop) -> None:
    bob = str(profile_id("acme", "user_id", "babbage"))
    buys = partial(touchpoint, user="babbage", event="Order Completed", workspace="acme")

    async def names() -> list[UUID]:
        live = await shop.read(JOURNEY.name)
        values = [it for batch in live.values() for key, it, _ in batch if key == bob.encode()]
        return list(dict.fromkeys(key_of(it) for it in values if is_sealed(it)))

    async def until(keys: int) -> None:
        async with asyncio.timeout(60):
            while len(await names()) != keys:  # noqa: ASYNC110 - another process's doing
                await asyncio.sleep(0.1)

    await shop.send([buys(SystemClock().now() - HOUR)])
    await until(1)
    await erase(shop, bob)
    await shop.send([buys(SystemClock().now() + HOUR, message_id="back")])
    await until(2)
    old, new = await names()
    answer = await asked(shop, shop.token("*", "journey:keys"), [old, new])

    keys = answer.json()["keys"]
    assert keys[str(old)] is None
    assert len(bytes.fromhex(keys[str(new)])) == 32
