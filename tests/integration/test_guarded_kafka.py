"""A Kafka that encrypts and wants a login: ingest publishes there, and commands read from it."""

import json
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest

from clm_common.bus.kafka.admin import create_topics
from clm_common.bus.kafka.settings import settings_from
from clm_common.contracts.topics import TOUCHPOINTS, TOUCHPOINTS_DLQ
from clm_common.runtime.tokens import generate_key_pair
from tests.support.guarded_kafka import GuardedKafka
from tests.support.ingest import ingest
from tests.support.servers import own_node
from tests.support.terminal import terminal


@pytest.fixture
def broker(server_home: Path) -> Generator[GuardedKafka]:
    with ExitStack() as stack:
        yield own_node(GuardedKafka, server_home, stack)


async def test_a_plan_is_proposed_from_what_lies_behind_tls_and_a_login(
    broker: GuardedKafka, database_url: str, tmp_path: Path
) -> None:
    signer = generate_key_pair()
    orders = [
        {"type": "track", "event": "Order Completed", "userId": f"u-{n}", "properties": {"n": n}}
        for n in range(10)
    ]
    await broker.start()
    told = broker.variables
    bootstrap = told["CLM_KAFKA_BOOTSTRAP"]
    await create_topics(settings_from(told), [TOUCHPOINTS, TOUCHPOINTS_DLQ])
    async with ingest(bootstrap, database_url, signer=signer, environment=told) as shop:
        await shop.until_ready()
        key = await shop.create_source()
        sent = await shop.http.post(
            "/v1/batch", content=json.dumps({"batch": orders}), headers={"x-write-key": key}
        )
        own = terminal(tmp_path / "data", shop, signer, bootstrap)

        proposed = msgspec.json.decode(own.clm("plan", "infer", "--json", env=told))
        anonymous = own.clm(
            *("plan", "infer", "--json"),
            env={**told, "CLM_KAFKA_SASL_USERNAME": ""},
            code=1,
        )
        wrong = own.clm(
            *("plan", "infer", "--json"),
            env={**told, "CLM_KAFKA_SASL_PASSWORD": "wrong"},
            code=1,
        )

    assert sent.json() == {"success": True}
    assert [it["event"] for it in proposed["events"]] == ["Order Completed"]
    assert proposed["events"][0]["schema"]["required"] == ["n"]
    assert "needs a user name and a password" in anonymous
    assert "Kafka" in wrong
