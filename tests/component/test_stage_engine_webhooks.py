"""Webhooks end to end in one process: subscribed over HTTP, delivered, retried, dead, replayed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
import structlog
from standardwebhooks import Webhook

from clm_common.clock import SystemClock
from clm_common.instant import HOUR
from clm_common.store.vault import Vault
from clm_stage_engine.api import make_app
from clm_stage_engine.api.parts import Outgoing
from clm_stage_engine.courier import EACH, Courier
from clm_stage_engine.live import Hub
from clm_stage_engine.posting import Poster
from clm_stage_engine.store.webhooks import PURPOSE, Webhooks
from tests.support.asking import Client, Json, client_of
from tests.support.endpoints import Endpoint, Post, Reply, endpoint
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import touchpoint

ORDER = "Order Completed"
WEBHOOKS = Webhooks(Vault(PURPOSE, [b"a random text of 32 letters, yes"]))
CLOCK = SystemClock()


@pytest.fixture
async def poster() -> AsyncGenerator[Poster]:
    async with Poster(CLOCK, http=True, private=True, longest=3.0) as made:
        yield made


@pytest.fixture
def client(engine: Engine, poster: Poster) -> Client:
    return asking(engine, poster)


@pytest.fixture
async def place() -> AsyncGenerator[Endpoint]:
    async with endpoint() as made:
        yield made


def asking(engine: Engine, poster: Poster) -> Client:
    hub = Hub(engine.database, CLOCK)
    return client_of(
        lambda verifier: make_app(
            engine.database,
            verifier,
            CLOCK,
            engine.board,
            hub,
            producer=engine.producer,
            outgoing=Outgoing(WEBHOOKS, poster),
        ),
        scope="webhooks:write",
    )


@asynccontextmanager
async def delivering(
    engine: Engine, poster: Poster, schedule: Sequence[float] = (0.05, 0.1, 0.1)
) -> AsyncGenerator[asyncio.Task[None]]:
    """Run a courier."""
    stop = asyncio.Event()
    courier = Courier(engine.database, CLOCK, WEBHOOKS, poster, schedule=schedule)
    task = asyncio.create_task(courier.run(stop))
    yield task
    stop.set()
    await asyncio.gather(task, return_exceptions=True)


async def subscribed(client: Client, url: str, name: str = "shop", **filter_: object) -> Json:
    answer = await client.post("/v1/webhooks", {"name": name, "url": url, "filter": filter_})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def buy(engine: Engine, *users: str, workspace: str = "local") -> None:
    await engine.send(
        *(touchpoint(NOW - HOUR, user=it, event=ORDER, workspace=workspace) for it in users)
    )
    await engine.settled()


async def listed(client: Client, hook: Json, **params: str) -> list[Json]:
    found = await client.ask(f"/v1/webhooks/{hook['id']}/deliveries", **params)
    return list(found["deliveries"])


async def standing(client: Client, hook: Json, state: str, count: int) -> list[Json]:
    """Wait until so many deliveries stand so."""
    async with asyncio.timeout(40):
        while len(found := await listed(client, hook, state=state)) != count:  # noqa: ASYNC110 - another task's doing
            await asyncio.sleep(0.05)
    return found


def targets(posts: Sequence[Post]) -> list[str]:
    return [msgspec.json.decode(it.body)["data"]["target"] for it in posts]


async def test_stage_changes_arrive_signed_and_in_order_and_are_listed(
    engine: Engine, poster: Poster, client: Client, place: Endpoint
) -> None:
    await buy(engine, "before")
    hook = await subscribed(client, place.url)
    await buy(engine, "ada")

    async with delivering(engine, poster):
        posts = await place.received(2)
        found = await standing(client, hook, "delivered", 2)

    assert targets(posts) == ["reach", "conversion"]
    for post in posts:
        event = Webhook(hook["secret"]).verify(post.body, dict(post.headers))
        assert event["id"] == post.headers["webhook-id"]
        assert event["data"]["user_id"] == "ada"
        assert post.headers["content-type"] == "application/cloudevents+json"
    assert {it["webhook_id"] for it in found} == {it.headers["webhook-id"] for it in posts}
    assert {(it["status"], it["attempts"], it["next_at"]) for it in found} == {(204, 1, None)}


async def test_a_filter_and_the_workspace_decide_what_is_delivered(
    engine: Engine, poster: Poster, client: Client, place: Endpoint
) -> None:
    hook = await subscribed(client, place.url, targets=["conversion"])
    await buy(engine, "elsewhere", workspace="other")
    await buy(engine, "ada", "bob")

    async with delivering(engine, poster):
        await standing(client, hook, "delivered", 2)

    assert targets(place.posts) == ["conversion", "conversion"]
    assert len(await listed(client, hook)) == 2


async def test_a_filter_names_stages_by_key_or_alias(client: Client, place: Endpoint) -> None:
    made = await subscribed(client, place.url, targets=["development", "conversion"])

    changed = await client.patch(
        f"/v1/webhooks/{made['id']}", {"filter": {"sources": ["development"]}}
    )

    assert made["filter"]["targets"] == ["conversion"]
    assert changed.json()["filter"]["sources"] == ["conversion"]


@pytest.mark.parametrize(
    ("wanted", "slug", "advice"),
    [
        ({"targets": ["conversio"]}, "stage.unknown", "reach, acquisition, conversion"),
        ({"sources": ["conversio"], "lifecycle": "reach"}, "stage.unknown", "'conversio'"),
        ({"lifecycle": "saas"}, "lifecycle.not_running", "running: reach"),
    ],
)
async def test_a_filter_that_nothing_could_pass_is_refused(
    client: Client, place: Endpoint, wanted: Json, slug: str, advice: str
) -> None:
    made = await subscribed(client, place.url)

    body = {"name": "crm", "url": place.url, "filter": wanted}
    refused = await client.post("/v1/webhooks", body)
    unchanged = await client.patch(f"/v1/webhooks/{made['id']}", {"filter": wanted})

    for answer in (refused, unchanged):
        found = answer.json()
        assert (answer.status_code, found["slug"]) == (404, slug)
        assert advice in found["detail"]


async def test_an_endpoint_that_fails_is_tried_again_with_the_same_id_until_it_takes_it(
    engine: Engine, poster: Poster, client: Client, place: Endpoint
) -> None:
    place.reply = lambda _: Reply(500 if len(place.posts) < 3 else 200)
    hook = await subscribed(client, place.url, targets=["conversion"])
    await buy(engine, "ada")

    async with delivering(engine, poster):
        [found] = await standing(client, hook, "delivered", 1)

    assert (found["attempts"], found["status"], found["reason"]) == (3, 200, None)
    assert len({it.headers["webhook-id"] for it in place.posts}) == 1
    assert len({it.body for it in place.posts}) == 1


async def test_what_no_try_delivered_is_dead_with_its_reason_and_can_be_replayed(
    engine: Engine, poster: Poster, client: Client, place: Endpoint
) -> None:
    place.reply = lambda _: Reply(503)
    hook = await subscribed(client, place.url, targets=["conversion"])
    await buy(engine, "ada")

    async with delivering(engine, poster):
        [dead] = await standing(client, hook, "dead", 1)
        assert (dead["attempts"], dead["status"], dead["reason"]) == (4, 503, "http_503")
        place.reply = lambda _: Reply(200)
        answer = await client.post(f"/v1/webhooks/{hook['id']}/replay", {"ids": [dead["id"]]})
        assert answer.json() == {"replayed": 1}
        await standing(client, hook, "delivered", 1)


async def test_retry_after_is_honoured(
    engine: Engine, poster: Poster, client: Client, place: Endpoint
) -> None:
    place.reply = lambda _: Reply(429, {"Retry-After": "3600"})
    hook = await subscribed(client, place.url, targets=["conversion"])
    await buy(engine, "ada")

    async with delivering(engine, poster):
        await place.received(1)
        async with asyncio.timeout(40):
            while not (found := (await listed(client, hook))[0])["reason"]:  # noqa: ASYNC110 - likewise
                await asyncio.sleep(0.05)

    waited = await engine.fetch("SELECT due_at - last_at AS wait FROM webhook_delivery")
    assert found["state"] == "waiting"
    assert waited[0]["wait"].total_seconds() == 3600


async def test_an_endpoint_that_is_gone_gets_nothing_any_more(
    engine: Engine, poster: Poster, client: Client, place: Endpoint
) -> None:
    place.reply = lambda _: Reply(410)
    hook = await subscribed(client, place.url)
    await buy(engine, "ada")

    async with delivering(engine, poster):
        await standing(client, hook, "dead", 1)
        await buy(engine, "bob")
        await asyncio.sleep(0.6)

    found = await client.ask(f"/v1/webhooks/{hook['id']}")
    assert (found["enabled"], found["disabled_reason"]) == (False, "gone")
    assert len(place.posts) == 1


async def test_what_happened_while_it_was_disabled_is_delivered_afterwards(
    engine: Engine, poster: Poster, client: Client, place: Endpoint
) -> None:
    hook = await subscribed(client, place.url, targets=["conversion"])
    await switch(client, hook, enabled=False)
    async with delivering(engine, poster):
        await buy(engine, "ada")
        await asyncio.sleep(0.6)
        assert not place.posts

        await switch(client, hook, enabled=True)

        await place.received(1)


async def switch(client: Client, hook: Json, *, enabled: bool) -> None:
    answer = await client.patch(f"/v1/webhooks/{hook['id']}", {"enabled": enabled})
    assert answer.json()["enabled"] is enabled


async def test_a_slow_endpoint_holds_up_neither_others_nor_the_engine(
    engine: Engine, poster: Poster, client: Client, place: Endpoint
) -> None:
    async with endpoint() as slow, delivering(engine, poster, schedule=[60]):
        slow.reply = lambda _: Reply(after=60)
        await subscribed(client, slow.url, "slow")
        hook = await subscribed(client, place.url, "quick", targets=["conversion"])
        await buy(engine, *(f"u{n}" for n in range(20)))

        await standing(client, hook, "delivered", 20)

        await slow.received(EACH)
        assert slow.busiest <= EACH
        reasons = await engine.fetch("SELECT DISTINCT reason FROM webhook_delivery")
        assert {it["reason"] for it in reasons} <= {None, "timeout"}


async def test_a_courier_that_dies_while_it_posts_loses_nothing(
    engine: Engine, poster: Poster, client: Client, place: Endpoint
) -> None:
    place.reply = lambda _: Reply(after=30)
    hook = await subscribed(client, place.url)
    async with delivering(engine, poster) as task:
        await buy(engine, "ada")
        await place.received(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    place.reply = lambda _: Reply()
    await engine.fetch("UPDATE webhook_delivery SET due_at = now() WHERE claimed")

    async with delivering(engine, poster):
        await standing(client, hook, "delivered", 2)

    assert targets(place.posts) == ["reach", "reach", "conversion"]


async def test_two_couriers_share_the_work_and_deliver_each_change_once(
    engine: Engine, poster: Poster, client: Client, place: Endpoint
) -> None:
    hook = await subscribed(client, place.url, targets=["conversion"])

    async with delivering(engine, poster), delivering(engine, poster):
        await buy(engine, *(f"u{n}" for n in range(60)))
        found = await standing(client, hook, "delivered", 60)

    assert {it["attempts"] for it in found} == {1}
    assert len(place.posts) == 60


async def test_a_rotated_secret_signs_beside_the_old_one_while_the_grace_lasts(
    client: Client, place: Endpoint
) -> None:
    hook = await subscribed(client, place.url, targets=["conversion"])
    rotated = await client.post(f"/v1/webhooks/{hook['id']}/rotate", {"grace_seconds": 600})
    second = rotated.json()["secret"]
    third = await client.post(f"/v1/webhooks/{hook['id']}/rotate", {"grace_seconds": 600})

    tried = await client.post(f"/v1/webhooks/{hook['id']}/test", None)

    assert tried.json() == {"delivered": True, "status": 204, "reason": None}
    headers, body = dict(place.posts[0].headers), place.posts[0].body
    assert len(headers["webhook-signature"].split()) == 2
    for secret in (second, third.json()["secret"]):
        assert Webhook(secret).verify(body, headers)["type"] == "clm.webhook-test.v1"


async def test_an_erased_person_s_changes_are_not_delivered_any_more(
    engine: Engine, poster: Poster, client: Client, place: Endpoint
) -> None:
    place.reply = lambda _: Reply(500)
    hook = await subscribed(client, place.url)
    async with delivering(engine, poster, schedule=[60]):
        await buy(engine, "ada")
        await place.received(1)
        await engine.erase("user_id", "ada")

        assert await listed(client, hook) == []


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/x",
        "https://127.0.0.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/x",
        "https://user:password@example.com/x",
        "ftp://example.com/x",
        "https:///x",
    ],
)
async def test_an_endpoint_of_one_s_own_network_or_without_tls_is_refused(
    engine: Engine, url: str
) -> None:
    async with Poster(CLOCK) as strict:
        client = asking(engine, strict)
        answer = await client.post("/v1/webhooks", {"name": "x", "url": url})

    assert (answer.status_code, answer.json()["slug"]) == (422, "webhook.url_refused")


async def test_a_name_that_leads_to_one_s_own_network_is_refused_when_it_is_connected_to(
    place: Endpoint,
) -> None:
    async with Poster(CLOCK, http=True) as strict:
        answer = await strict.post(f"http://localhost:{place.port}/x", {}, b"{}")

    assert answer.reason == "address_refused"
    assert not place.posts


async def test_a_redirect_is_not_followed(poster: Poster, place: Endpoint) -> None:
    place.reply = lambda _: Reply(302, {"Location": place.url})

    answer = await poster.post(place.url, {}, b"{}")

    assert answer.reason == "http_302"
    assert len(place.posts) == 1


async def test_an_endpoint_that_is_away_is_a_failure_that_is_named(poster: Poster) -> None:
    async with endpoint() as gone:
        url = gone.url

    assert (await poster.post(url, {}, b"{}")).reason == "connection"
    assert (await poster.post("http://no.such.host.invalid/", {}, b"{}")).reason == "connection"


async def test_a_name_is_taken_once_and_another_workspace_sees_nothing(
    client: Client, place: Endpoint
) -> None:
    hook = await subscribed(client, place.url)

    again = await client.post("/v1/webhooks", {"name": "shop", "url": place.url})
    assert (again.status_code, again.json()["slug"]) == (409, "webhook.exists")
    foreign = await client.get(f"/v1/webhooks/{hook['id']}", workspace="other")
    assert (foreign.status_code, foreign.json()["slug"]) == (404, "webhook.unknown")
    assert (await client.get("/v1/webhooks", scope="profiles:read")).status_code == 403
    shown = (await client.ask("/v1/webhooks"))["webhooks"]
    assert [(it["name"], it["secret"]) for it in shown] == [("shop", None)]


async def test_the_log_of_a_dead_delivery_names_neither_address_nor_person(
    engine: Engine, poster: Poster, client: Client, place: Endpoint
) -> None:
    place.reply = lambda _: Reply(400)
    with structlog.testing.capture_logs() as lines:
        hook = await subscribed(client, f"{place.url}?token=hush", targets=["conversion"])
        async with delivering(engine, poster, schedule=[]):
            await buy(engine, "ada")
            await standing(client, hook, "dead", 1)

    dead = [it for it in lines if it["event"] == "webhook.dead"]
    assert dead
    assert not any(word in repr(lines) for word in ("hush", "ada", hook["secret"]))
