"""Erasing over HTTP: who may ask, what is answered, and the receipt as services confirm."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import msgspec
import pytest

from clm_common.bus.memory import MemoryBroker, MemoryProducer
from clm_common.bus.ports import Message
from clm_common.clock import SystemClock
from clm_common.contracts.erasure import ErasureConfirmed
from clm_common.contracts.ids import profile_id
from clm_common.contracts.topics import ERASURES
from clm_common.errors import InvalidMessage
from clm_common.instant import HOUR, to_rfc3339
from clm_stage_engine.answers import AnswerHandler
from clm_stage_engine.api import make_app
from clm_stage_engine.live import Hub
from clm_stage_engine.receipts import clean_by
from tests.support.asking import Client, Json, client_of
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import touchpoint

ADA = f"/v1/profiles/{profile_id('local', 'user_id', 'lovelace')}"
WISH = {"reason": "asked by letter"}


@pytest.fixture
async def engine(engine_url: str) -> AsyncGenerator[Engine]:
    async with Engine(engine_url, MemoryBroker()) as running:
        await running.send(touchpoint(NOW - HOUR, user="lovelace", event="Order Completed"))
        await running.settled()
        yield running


@pytest.fixture
def client(engine: Engine) -> Client:
    hub = Hub(engine.database, SystemClock())
    return client_of(
        lambda verifier: make_app(
            engine.database, verifier, engine.clock, engine.board, hub, producer=engine.producer
        ),
        scope="profiles:erase",
    )


async def answer(engine: Engine, *answers: ErasureConfirmed) -> list[InvalidMessage]:
    """Have answers of other services taken in, as the worker does; gives what is refused."""
    broker = MemoryBroker()
    messages = [Message(ERASURES.name, b"", msgspec.json.encode(it)) for it in answers]
    await MemoryProducer(broker).publish(messages)
    batch = await AnswerHandler().decide(None, broker.records(ERASURES.name))
    async with engine.database.transaction() as tx:
        await batch.write(tx, 0)
        await batch.write(tx, 0)
    return [it.error for it in batch.refused]


async def receipt_of(client: Client, name: str) -> Json:
    return await client.ask(f"/v1/erasures/{name}")


async def test_a_receipt_tells_which_store_has_erased_what_it_kept(
    engine: Engine, client: Client
) -> None:
    asked = await client.post(f"{ADA}/erase", WISH)
    assert asked.status_code == 202
    waiting = asked.json()
    assert (waiting["state"], waiting["author"]) == ("waiting", "test")

    await engine.erased_all()
    done = await receipt_of(client, waiting["id"])
    assert (done["state"], done["profiles"], done["touchpoints"]) == ("erasing", 1, 1)
    assert [it["service"] for it in done["stores"] if it["done_at"]] == ["stage-engine"]

    at = to_rfc3339(NOW + HOUR)
    name = UUID(waiting["id"])
    await answer(engine, ErasureConfirmed(name, 1, "metrics", at))
    assert (await receipt_of(client, waiting["id"]))["state"] == "erasing"
    await answer(engine, ErasureConfirmed(name, 1, "engagement", at))
    whole = await receipt_of(client, waiting["id"])
    assert whole["state"] == "erased"
    assert {it["service"]: it["done_at"] for it in whole["stores"]}["metrics"] is not None
    gone = await client.get(ADA, scope="profiles:read")
    assert gone.status_code == 404


async def test_asking_takes_a_scope_of_its_own_a_reason_and_somebody_to_erase(
    client: Client,
) -> None:
    nobody = f"/v1/profiles/{uuid4()}/erase"

    assert (await client.post(f"{ADA}/erase", WISH, scope="profiles:write")).status_code == 403
    assert (await client.post(f"{ADA}/erase", {"reason": " "})).status_code == 422
    assert (await client.post(nobody, WISH)).status_code == 404
    assert (await client.post(f"{ADA}/erase", WISH, workspace="other")).status_code == 404
    assert (await client.refusal(f"/v1/erasures/{uuid4()}"))[:2] == (404, "erasure.unknown")


async def test_a_receipt_is_nobody_elses(engine: Engine, client: Client) -> None:
    asked = (await client.post(f"{ADA}/erase", WISH)).json()
    await engine.erased_all()

    foreign = await client.get(f"/v1/erasures/{asked['id']}", workspace="other")

    assert foreign.status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        ErasureConfirmed(UUID(int=1), 0, "metrics", "2026-01-01T00:00:00Z"),
        ErasureConfirmed(UUID(int=1), 1, "metrics", "yesterday"),
        ErasureConfirmed(UUID(int=1), 1, "met\0rics", "2026-01-01T00:00:00Z"),
    ],
    ids=["part", "time", "service"],
)
async def test_an_answer_that_cannot_be_kept_is_refused(
    engine: Engine, wrong: ErasureConfirmed
) -> None:
    (refused,) = await answer(engine, wrong)

    assert refused.slug == "erasure.invalid"


@pytest.mark.parametrize(
    ("config", "clean"),
    [
        (
            {"retention.ms": "86400000", "segment.ms": "3600000"},
            datetime(2026, 1, 2, 1, tzinfo=UTC),
        ),
        ({"retention.ms": "-1", "segment.ms": "3600000"}, None),
        ({"retention.ms": "86400000", "cleanup.policy": "compact"}, None),
    ],
    ids=["seven-days", "for-ever", "compacted"],
)
def test_a_topic_is_clean_when_retention_and_the_last_segment_have_passed(
    config: dict[str, str], clean: datetime | None
) -> None:
    assert clean_by(datetime(2026, 1, 1, tzinfo=UTC), config) == clean
