"""The suite of every shipped webhook mapping, with the samples in `hooks/` beside it."""

import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clm_common import catalog
from clm_common.errors import DefinitionError
from clm_ingest.core.hooks import Hook, touchpoints_of
from clm_ingest.routes_hooks import shipped
from tests.support.ingest_world import BASIC, KEY, IngestWorld, assert_error

SAMPLES = Path(__file__).with_name("hooks")
Sample = dict[str, Any]  # Any: JSON


def samples_of(key: str) -> list[Sample]:
    found: list[Sample] = json.loads((SAMPLES / f"{key}.json").read_text())
    return found


CASES = [(key, sample) for key in shipped() for sample in samples_of(key)]
STRIPE = samples_of("stripe-payments")[0]["body"]


@pytest.fixture
async def world() -> AsyncGenerator[IngestWorld]:
    world = IngestWorld()
    await world.keyring.refresh()
    yield world
    await world.http.aclose()


async def send(world: IngestWorld, key: str, sample: Sample) -> httpx.Response:
    return await world.post(
        f"/v1/hooks/{key}", sample["body"], headers={**BASIC, **sample["headers"]}
    )


@pytest.mark.parametrize(("key", "sample"), CASES)
async def test_a_sample_becomes_the_touchpoints_that_stand_beside_it(
    world: IngestWorld, key: str, sample: Sample
) -> None:
    answer = await send(world, key, sample)

    landed = [json.loads(it.value or b"") for it in world.landed()]
    assert answer.status_code == 200
    assert answer.json() == {"success": True} | ({} if landed else {"ignored": True})
    assert len(landed) == len(sample["becomes"])
    for touchpoint, wanted in zip(landed, sample["becomes"], strict=True):
        assert {name: touchpoint.get(name) for name in wanted} == wanted
    assert not any("ce_untimed" in dict(it.headers) for it in world.landed())


@pytest.mark.parametrize("key", shipped())
async def test_each_touchpoint_of_a_mapping_has_a_sample_and_ids_tell_them_apart(key: str) -> None:
    made = [
        it["messageId"]
        for sample in samples_of(key)
        for it in touchpoints_of(
            shipped()[key], sample["headers"], json.dumps(sample["body"]).encode()
        )
    ]

    places = {it.rpartition("-")[2] for it in made}
    assert places == {str(it) for it in range(len(shipped()[key].touchpoints))}


@pytest.mark.parametrize(("key", "sample"), CASES)
async def test_a_redelivery_carries_the_same_ids(
    world: IngestWorld, key: str, sample: Sample
) -> None:
    await send(world, key, sample)
    first = [dict(it.headers)["ce_id"] for it in world.landed()]

    await send(world, key, sample)

    assert [dict(it.headers)["ce_id"] for it in world.landed()] == first * 2


async def test_a_sender_that_sets_an_address_alone_puts_the_key_there(world: IngestWorld) -> None:
    answer = await world.post(f"/v1/hooks/stripe-payments?writeKey={KEY}", STRIPE, headers={})

    assert answer.status_code == 200
    assert len(world.landed()) == 1


@pytest.mark.parametrize(
    ("headers", "code"),
    [({}, "write_key.missing"), ({"x-write-key": "wk_wrong"}, "write_key.unknown")],
)
async def test_a_webhook_without_a_good_key_is_refused(
    world: IngestWorld, headers: dict[str, str], code: str
) -> None:
    answer = await world.post("/v1/hooks/stripe-payments", STRIPE, headers=headers)

    assert_error(answer, 401, code)
    assert not world.landed()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "touchpoint.malformed"),
        (b"[]", "touchpoint.not_an_object"),
        ({**STRIPE, "id": None}, "hook.id_missing"),
        ({**STRIPE, "created": None}, "hook.time_missing"),
        (
            {**STRIPE, "data": {"object": {"payment_status": "paid"}}},
            "hook.identity_missing",
        ),
        (
            {
                **STRIPE,
                "data": {
                    "object": {"payment_status": "paid", "amount_total": "1", "currency": "eur"}
                },
            },
            "hook.unfit",
        ),
    ],
)
async def test_what_cannot_be_mapped_is_quarantined_as_it_was_sent(
    world: IngestWorld, body: object, reason: str
) -> None:
    answer = await world.post("/v1/hooks/stripe-payments", body)

    (letter,) = world.letters()
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert answer.status_code == 200
    assert [it["code"] for it in answer.json()["rejected"]] == [reason]
    assert (letter.reason, letter.original) == (reason, sent)
    assert not world.landed()


async def test_an_unknown_mapping_is_named_with_those_there_are(world: IngestWorld) -> None:
    answer = await world.post("/v1/hooks/stripe", STRIPE)

    assert_error(answer, 404, "hook.unknown")
    assert "stripe-payments" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("idd: body.id", "unknown key 'idd'; did you mean 'id'"),
        ("id: body.[", "no JMESPath expression"),
    ],
)
def test_a_mapping_that_cannot_be_right_is_refused_with_its_line(line: str, named: str) -> None:
    text = f"key: crm\n{line}\ntouchpoints:\n  - {{when: body, timestamp: body.at}}\n"

    with pytest.raises(DefinitionError, match=r"crm\.yaml:2: .*") as refused:
        catalog.read(text, "crm.yaml", Hook)

    assert named in str(refused.value)
