"""Webhooks to hooks of a workspace: signatures, disabled hooks, forms, ids and letters."""

import json
from collections.abc import AsyncGenerator
from urllib.parse import urlencode

import httpx
import msgspec
import pytest

from clm_common.contracts.touchpoint import source_uri
from clm_common.instant import SECOND, to_datetime
from clm_ingest.core.inbound import HookKeys
from clm_ingest.core.signatures import NAMES, Scheme
from tests.support.ingest_world import KEY, NOW, IngestWorld, assert_error, keys_of
from tests.support.signing import SECRETS, signed

TICKET = {
    "id": "e-1",
    "type": "ticket.created",
    "at": "2026-11-22T09:00:00Z",
    "ticket": {"id": 7, "channel": "phone"},
    "requester": {"id": 42},
}
BODY = json.dumps(TICKET).encode()
AT = NOW // SECOND
ID = "0b5e7c1e-6f0c-4a43-9f3a-2f2f6a3c9d10"
OTHER = "7d0f6f9a-41a5-4c62-9f0e-0c8d3f3b2a11"


def hook(scheme: Scheme | None = "stripe", **more: object) -> HookKeys:
    known = HookKeys(ID, "acme", "s-1", "help-desk-tickets", scheme, 300, disabled=False)
    secret = None if scheme is None else SECRETS[scheme]
    return msgspec.structs.replace(known, **{"secret": secret, **more})


async def open_to(world: IngestWorld, *hooks: HookKeys) -> None:
    world.keys = [msgspec.structs.replace(keys_of(), hooks=hooks), keys_of("wk_other")]
    world.keys = [world.keys[0], msgspec.structs.replace(world.keys[1], source="s-2")]
    await world.keyring.refresh()


@pytest.fixture
async def world() -> AsyncGenerator[IngestWorld]:
    world = IngestWorld()
    yield world
    await world.http.aclose()


async def send(
    world: IngestWorld, scheme: Scheme = "stripe", body: bytes = BODY, *, to: str = ID, at: int = AT
) -> httpx.Response:
    headers = signed(scheme, SECRETS[scheme], body, at=at)
    return await world.post(f"/v1/hooks/{to}", body, headers=headers)


def ids(world: IngestWorld) -> list[str]:
    return [json.loads(it.value or b"")["messageId"] for it in world.landed()]


@pytest.mark.parametrize("scheme", NAMES)
async def test_a_signed_body_needs_no_write_key_and_comes_from_the_hooks_source(
    world: IngestWorld, scheme: Scheme
) -> None:
    await open_to(world, hook(scheme))

    answer = await send(world, scheme)

    (landed,) = world.landed()
    assert answer.json() == {"success": True}
    assert dict(landed.headers)["ce_source"].decode() == source_uri("acme", "s-1")


@pytest.mark.parametrize("scheme", NAMES)
async def test_a_body_that_somebody_else_signed_is_refused(
    world: IngestWorld, scheme: Scheme
) -> None:
    await open_to(world, hook(scheme, secret="whsec_AAAA"))

    answer = await send(world, scheme)

    assert_error(answer, 401, "signature.wrong")
    assert SECRETS[scheme] not in answer.text
    assert not world.landed()
    assert not world.letters()


async def test_a_write_key_does_not_stand_in_for_a_signature(world: IngestWorld) -> None:
    await open_to(world, hook())

    answer = await world.post(f"/v1/hooks/{ID}?writeKey={KEY}", BODY)

    assert_error(answer, 401, "signature.missing")


async def test_what_is_sent_again_later_is_too_old(world: IngestWorld) -> None:
    await open_to(world, hook())

    assert_error(await send(world, at=AT - 301), 401, "signature.too_old")
    assert (await send(world, at=AT - 300)).status_code == 200


async def test_the_secret_before_is_taken_until_its_grace_ends(world: IngestWorld) -> None:
    until = to_datetime(NOW + 10 * SECOND)
    await open_to(world, hook(secret="new", previous=SECRETS["stripe"], previous_until=until))

    assert (await send(world)).status_code == 200
    world.clock.set(NOW + 10 * SECOND)

    assert_error(await send(world), 401, "signature.wrong")


@pytest.mark.parametrize(
    ("known", "status", "code"),
    [
        (hook(disabled=True), 403, "hook.disabled"),
        (hook(secret=None), 401, "hook.secret_missing"),
        (hook(secret=None, sealed=True), 503, "hook.sealed"),
        (hook(mapping="gone"), 404, "hook.mapping_unknown"),
    ],
    ids=["disabled", "without a secret", "with a secret of another key", "without its mapping"],
)
async def test_a_hook_that_cannot_take_anything_says_why(
    world: IngestWorld, known: HookKeys, status: int, code: str
) -> None:
    await open_to(world, known)

    assert_error(await send(world), status, code)
    assert not world.landed()


async def test_a_disabled_source_takes_no_webhooks(world: IngestWorld) -> None:
    world.keys = [msgspec.structs.replace(keys_of(disabled=True), hooks=[hook()])]
    await world.keyring.refresh()

    assert_error(await send(world), 403, "hook.source_disabled")


async def test_while_the_key_store_is_away_known_hooks_go_on_and_others_are_asked_to_wait(
    world: IngestWorld,
) -> None:
    await open_to(world, hook())
    world.store_away = True
    world.clock.set(NOW + 60 * SECOND)

    assert (await send(world, at=AT + 60)).status_code == 200
    assert_error(await send(world, to=OTHER, at=AT + 60), 503, "keys.away")
    world.store_away = False
    await world.keyring.refresh()
    assert_error(await send(world, to=OTHER, at=AT + 60), 404, "hook.unknown")


async def test_two_hooks_whose_senders_give_the_same_ids_do_not_meet(world: IngestWorld) -> None:
    await open_to(world, hook(), hook(id=OTHER))

    await send(world)
    await send(world, to=OTHER)
    await send(world)

    assert ids(world) == [f"{ID}-e-1-0", f"{OTHER}-e-1-0", f"{ID}-e-1-0"]


async def test_a_hook_without_signatures_takes_the_write_key_of_its_own_source_alone(
    world: IngestWorld,
) -> None:
    await open_to(world, hook(None))
    path = f"/v1/hooks/{ID}"

    good = await world.post(f"{path}?writeKey={KEY}", BODY, headers={})
    foreign = await world.post(f"{path}?writeKey=wk_other", BODY, headers={})
    without = await world.post(path, BODY, headers={})

    assert good.status_code == 200
    assert_error(foreign, 401, "write_key.other_source")
    assert_error(without, 401, "write_key.missing")
    assert ids(world) == [f"{ID}-e-1-0"]


async def test_a_form_is_read_as_its_json_and_signed_as_it_was_sent(world: IngestWorld) -> None:
    await open_to(world, hook("github"))
    body = urlencode({"payload": BODY.decode()}).encode()
    headers = signed("github", SECRETS["github"], body, at=AT)
    form = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}

    answer = await world.post(f"/v1/hooks/{ID}", body, headers={**headers, **form})

    assert answer.status_code == 200
    assert ids(world) == [f"{ID}-e-1-0"]


async def test_a_body_that_the_mapping_cannot_read_is_kept_with_what_it_takes_to_read_it_later(
    world: IngestWorld,
) -> None:
    await open_to(world, hook("shopify", mapping="shopify-orders"))
    body = b'{"id": 1, "customer": {"id": 2}}'
    about = {"x-shopify-topic": "orders/create", "x-shopify-webhook-id": "d-1", "cookie": "c"}
    headers = signed("shopify", SECRETS["shopify"], body, at=AT) | about

    answer = await world.post(f"/v1/hooks/{ID}", body, headers=headers)

    (letter,) = world.letters()
    assert answer.status_code == 200
    assert [it["code"] for it in answer.json()["rejected"]] == [letter.reason]
    assert (letter.original, letter.hook) == (body, ID)
    assert letter.headers is not None
    assert about.keys() - letter.headers.keys() == {"cookie"}
    assert "x-shopify-hmac-sha256" not in letter.headers
