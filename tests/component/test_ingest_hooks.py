"""Webhooks by a mapping's own name: who may send, and what becomes of what cannot be read."""

import json
from pathlib import Path

import pytest

from clm_common import catalog
from clm_common.errors import DefinitionError
from clm_ingest.core.hooks import Hook
from tests.support.ingest_world import KEY, IngestWorld, assert_error

STRIPE = json.loads(Path(__file__).with_name("hooks").joinpath("stripe-payments.json").read_text())[
    0
]["body"]


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
