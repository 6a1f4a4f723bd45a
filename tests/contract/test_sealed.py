"""What the AsyncAPI document says of sealed messages is what stage-engine seals."""

from __future__ import annotations

import re
from uuid import UUID

import jsonschema
import msgspec

from clm_common.bus.ports import Message
from clm_common.contracts import journey, schema
from clm_common.contracts.ids import profile_id
from clm_common.contracts.journey import IdentityMoved, JourneyMessage, ProfileErased
from clm_common.contracts.sealing import Seal
from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.topics import JOURNEY
from clm_stage_engine.api.journey_keys import GivenKeys, WantedKeys, router
from clm_stage_engine.core import river
from clm_stage_engine.core.sealed import Grant, heads_of, sealed
from tests.support.wire import documented, documented_sealed, key_id, message_of, opened

SEALED = message_of(JOURNEY.name, "Sealed")
EXAMPLE = SEALED["examples"][0]
VALUE = bytes.fromhex(EXAMPLE["payload"])
ABOUT, ID, KEY = (
    re.search(pattern, EXAMPLE["summary"])[1]  # type: ignore[index]  # it is there or the test fails
    for pattern in ("record key `([^`]+)`", "the key `([^`]+)`,", "which is `([^`]+)`")
)
SEAL = Seal(UUID(ID), bytes.fromhex(KEY))
AT = "2026-11-22T10:00:00.000000Z"


def published(*facts: JourneyMessage) -> list[tuple[bytes, dict[str, bytes], bytes]]:
    """Give the key, the headers and the value of facts as stage-engine publishes them sealed."""
    grants = {it.profile_id: Grant(SEAL, 0) for it in facts}
    found: list[Message] = []
    for plain in river.columns(facts):
        if plain.topic == JOURNEY.name:
            found += sealed(JOURNEY.name, plain, heads_of(plain), grants)
    return [(it.key, dict(it.all_headers()), it.value) for it in found]


def test_the_example_is_opened_by_what_the_document_says() -> None:
    plain = opened(VALUE, bytes.fromhex(KEY), JOURNEY.name, ABOUT.encode())

    told = msgspec.json.decode(plain)
    assert key_id(VALUE) == UUID(ID)
    assert (told["profile_id"], told["touchpoint"]["event"]) == (ABOUT, "Order Completed")
    jsonschema.validate(told, schema.documents()["TouchpointApplied.json"])


def test_stage_engine_seals_the_examples_fact_into_the_example() -> None:
    fact = journey.decode(opened(VALUE, bytes.fromhex(KEY), JOURNEY.name, ABOUT.encode()))

    ((about, headers, value),) = published(fact)

    assert (about.decode(), value.hex()) == (ABOUT, EXAMPLE["payload"])
    assert {name: text.decode() for name, text in headers.items()} == EXAMPLE["headers"]


def test_every_fact_is_sealed_as_documented_and_an_erasure_stays_plain() -> None:
    ada, tablet = (profile_id("shop", "user_id", it) for it in ("ada", "tablet"))
    facts: list[JourneyMessage] = [
        StageChange(ada, "shop", ada, 1, "reach", "d", "reach", "appear", AT),
        IdentityMoved("shop", tablet, 2, tablet, tablet, ada, AT, emptied=True),
        ProfileErased("shop", ada, 3, tablet, 1, 1, AT),
    ]

    *others, (_, told, erased) = published(*facts)

    assert len(others) == 2
    for (about, headers, value), fact in zip(others, facts, strict=False):
        documented_sealed(JOURNEY.name, headers.items(), value)
        plain = opened(value, bytes.fromhex(KEY), JOURNEY.name, about)
        assert journey.decode(plain) == fact
    documented(JOURNEY.name, "ProfileErased", told.items())
    assert journey.decode(erased) == facts[-1]
    assert erased[:1] == b"{"


def test_the_keys_are_where_the_document_says() -> None:
    text = SEALED["description"]

    assert [it.path for it in router.routes if f"`POST {it.path}`" in text] == [  # type: ignore[attr-defined]  # every route of this router has one
        "/v1/journey-keys"
    ]
    assert WantedKeys.model_fields.keys() == {"ids"}
    assert GivenKeys(keys={UUID(ID): KEY, UUID(int=0): None}).model_dump(mode="json") == {
        "keys": {ID: KEY, str(UUID(int=0)): None}
    }
    assert all(f'"{it}"' in text for it in ("ids", "keys"))
