"""People are found by what they are called elsewhere; what stands for nobody joins nobody."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest

from clm_common.bus.ports import Message
from clm_common.clock import SystemClock
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.topics import TOUCHPOINTS_DLQ
from clm_common.instant import HOUR, SECOND
from clm_stage_engine import definitions
from clm_stage_engine.api import make_app
from clm_stage_engine.governing import Board
from clm_stage_engine.live import Hub
from clm_stage_engine.running import choose
from tests.support.asking import Client, client_of
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import touchpoint


@pytest.fixture
def client(engine: Engine) -> Client:
    running, clock = choose([definitions.SHIPPED], "reach"), SystemClock()
    hub = Hub(engine.database, clock)
    return client_of(
        lambda verifier: make_app(
            engine.database, verifier, clock, Board(running), hub, producer=engine.producer
        ),
        scope="profiles:read",
    )


def identify(at: int, who: str | None, *, on: str | None = None, **traits: object) -> Message:
    return touchpoint(at, user=who, anonymous=on, kind="identify", traits=traits)


async def found(client: Client, identifier: str) -> list[str | None]:
    page = await client.ask("/v1/profiles", identifier=identifier)
    return sorted(it["user_id"] or "" for it in page["profiles"])


async def test_one_address_finds_everybody_who_has_it_and_joins_nobody(
    engine: Engine, client: Client
) -> None:
    await engine.send(
        identify(NOW - 3 * HOUR, "ada", email="Home@Example.com"),
        identify(NOW - 2 * HOUR, "bob", email="home@example.com", phone="+49 30 123456"),
        identify(NOW - HOUR, None, on="tablet", email="home@example.com"),
    )
    await engine.settled()

    assert await found(client, "email:HOME@example.com") == ["", "ada", "bob"]
    assert await found(client, "phone:+4930123456") == ["bob"]
    assert await found(client, "email:nobody@example.com") == []
    assert await found(client, "email:nobody") == []


async def test_an_address_goes_where_its_device_goes(engine: Engine, client: Client) -> None:
    await engine.send(identify(NOW - 3 * HOUR, None, on="tablet", email="a@example.com"))
    await engine.settled()
    before = await found(client, "email:a@example.com")

    await engine.send(touchpoint(NOW - 2 * HOUR, user="ada", anonymous="tablet", kind="page"))
    await engine.settled()

    assert before == [""]
    assert await found(client, "email:a@example.com") == ["ada"]


@pytest.mark.parametrize("arrival", [*permutations((0, 10, 20))], ids=str)
async def test_the_values_said_first_count_in_any_order_of_arrival(
    engine: Engine, client: Client, arrival: tuple[int, ...]
) -> None:
    for start in arrival:
        await engine.send(
            *(
                identify(NOW - HOUR + n * SECOND, "till", email=f"u{n}@example.com")
                for n in range(start, start + 10)
            )
        )
        await engine.settled()

    hits = [await found(client, f"email:u{n}@example.com") for n in range(30)]
    assert hits == [["till"]] * 20 + [[]] * 10


async def test_a_user_id_that_stands_for_nobody_joins_no_devices(engine: Engine) -> None:
    await engine.send(
        touchpoint(NOW - 3 * HOUR, user="undefined", anonymous="phone", kind="page"),
        touchpoint(NOW - 2 * HOUR, user="undefined", anonymous="laptop", kind="page"),
        touchpoint(NOW - HOUR, user="ada", anonymous="null", kind="page"),
        touchpoint(NOW - HOUR, user="bob", anonymous="null", kind="page"),
    )
    await engine.settled()

    rows = await engine.fetch("SELECT value FROM identity ORDER BY value")
    people = await engine.fetch("SELECT touchpoints FROM profile")
    assert [row["value"] for row in rows] == ["ada", "bob", "laptop", "phone"]
    assert people == [{"touchpoints": 1}] * 4


async def test_a_touchpoint_of_nobody_is_buried_with_its_reason(engine: Engine) -> None:
    await engine.send(touchpoint(NOW, user="null", kind="page"))
    await engine.settled()

    (buried,) = engine.broker.records(TOUCHPOINTS_DLQ.name)
    letter = msgspec.json.decode(buried.value or b"", type=DeadLetter)
    assert letter.reason == "touchpoint.identity_blocked"
    assert await engine.fetch("SELECT 1 FROM profile") == []
