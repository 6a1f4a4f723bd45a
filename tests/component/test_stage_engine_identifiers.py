"""People are found by what they are called elsewhere; what stands for nobody joins nobody."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest

from clm_common.bus.ports import Message
from clm_common.clock import SystemClock
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.topics import TOUCHPOINTS_DLQ
from clm_common.instant import HOUR, SECOND, to_rfc3339
from clm_stage_engine.api import make_app
from clm_stage_engine.live import Hub
from tests.support.asking import Client, client_of
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import touchpoint


@pytest.fixture
def client(engine: Engine) -> Client:
    clock = SystemClock()
    hub = Hub(engine.database, clock)
    return client_of(
        lambda verifier: make_app(
            engine.database, verifier, clock, engine.board, hub, producer=engine.producer
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


async def test_those_who_share_an_address_are_paged_through(engine: Engine, client: Client) -> None:
    names = [f"u{n}" for n in range(5)]
    await engine.send(*(identify(NOW - HOUR, it, email="home@example.com") for it in names))
    await engine.settled()
    found, cursor = list[str](), dict[str, str]()

    while True:
        asked = {"identifier": "email:home@example.com", "limit": "2"} | cursor
        page = await client.ask("/v1/profiles", **asked)
        assert len(page["profiles"]) <= 2
        found += [it["user_id"] for it in page["profiles"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}

    assert sorted(found) == names


async def test_who_has_an_identifier_can_be_asked_for_in_a_stage(
    engine: Engine, client: Client
) -> None:
    await engine.send(
        *(identify(NOW - 3 * HOUR, it, email="home@example.com") for it in ("ada", "bob")),
        touchpoint(NOW - HOUR, user="ada", event="Order Completed"),
    )
    await engine.settled()

    async def asked(**params: str) -> list[str]:
        page = await client.ask("/v1/profiles", identifier="email:home@example.com", **params)
        return [it["user_id"] for it in page["profiles"]]

    assert await asked(stage="conversion") == ["ada"]
    assert await asked(stage="acquisition") == ["bob"]
    assert await asked(stage="loyalty") == []
    since = to_rfc3339(NOW - 2 * HOUR)
    assert await asked(stage="conversion", entered_from=since) == ["ada"]
    assert await asked(stage="conversion", entered_until=since) == []


@pytest.mark.parametrize(
    ("params", "status", "slug", "says"),
    [
        ({"email": "ada@example.com"}, 422, "request.invalid", "email"),
        ({"stage": "customer"}, 404, "stage.unknown", "reach, acquisition, conversion"),
        (
            {"identifier": "email:ada@example.com", "cursor": "x"},
            400,
            "cursor.invalid",
            "start over",
        ),
    ],
    ids=["parameter", "stage", "cursor"],
)
async def test_what_would_be_passed_over_in_silence_is_refused(
    client: Client, params: dict[str, str], status: int, slug: str, says: str
) -> None:
    found, named, said = await client.refusal("/v1/profiles", **params)

    assert (found, named) == (status, slug)
    assert says in said
