"""Addresses, numbers and ids of other systems that join people, and the bounds they keep to."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from clm_common.bus.memory import MemoryBroker
from clm_common.bus.ports import Message
from clm_common.contracts.ids import profile_id
from clm_common.instant import HOUR
from clm_stage_engine.api import make_app
from clm_stage_engine.identity_file import load_identifiers
from clm_stage_engine.live import Hub
from tests.support.asking import Client, client_of
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import touchpoint

RULES = """
key: identity
country: {code: "49"}
kinds:
  user_id: {priority: 1}
  anonymous_id: {priority: 9, limit: 2}
  email: {form: email, traits: [email], priority: 3, joins: true, limit: 2}
  phone: {form: phone, traits: [phone], priority: 4, joins: true}
"""
HOME = "home@example.com"
WHY = "a shared address"

Json = Any  # Any: what an answer holds


def user(name: str) -> str:
    return str(profile_id("local", "user_id", name))


def device(name: str) -> str:
    return str(profile_id("local", "anonymous_id", name))


@pytest.fixture
async def engine(engine_url: str, tmp_path: Path) -> AsyncGenerator[Engine]:
    """Run an engine where addresses and numbers join, with two devices for each customer."""
    file = tmp_path / "identity.yaml"
    file.write_text(RULES)
    identifiers = load_identifiers(file)
    async with Engine(engine_url, MemoryBroker(), identifiers=identifiers) as running:
        yield running


@pytest.fixture
def client(engine: Engine) -> Client:
    hub = Hub(engine.database, engine.clock)
    return client_of(
        lambda verifier: make_app(
            engine.database,
            verifier,
            engine.clock,
            engine.board,
            hub,
            producer=engine.producer,
            identifiers=engine.identifiers,
        ),
        scope="profiles:write",
    )


def identify(hours: int, who: str | None, *, on: str | None = None, **traits: object) -> Message:
    return touchpoint(NOW - hours * HOUR, user=who, anonymous=on, kind="identify", traits=traits)


def page(hours: int, who: str | None = None, *, on: str | None = None) -> Message:
    return touchpoint(NOW - hours * HOUR, user=who, anonymous=on, kind="page")


def group(who: str) -> Message:
    """Let somebody join the group acme, whose address is HOME."""
    call = touchpoint(NOW - HOUR, user=who, kind="group", traits={"email": HOME})
    body = json.loads(call.value or b"") | {"groupId": "acme"}
    return replace(call, value=json.dumps(body).encode())


async def people(engine: Engine) -> dict[str, int]:
    """Give how many touchpoints everybody has, by profile."""
    rows = await engine.fetch("SELECT id, touchpoints FROM profile WHERE stage IS NOT NULL")
    return {str(row["id"]): row["touchpoints"] for row in rows}


async def told(client: Client, path: str) -> Json:
    answer = await client.get(f"/v1/profiles/{path}", scope="profiles:read")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def decide(engine: Engine, client: Client, path: str, **body: str) -> None:
    answer = await client.post(f"/v1/profiles/{path}", {"reason": WHY, **body})
    assert answer.status_code == 202, answer.text
    await engine.settled()


Story = Callable[[], list[Message]]


def newsletter() -> list[Message]:
    """Somebody reads on two devices under one address, and then buys as a customer."""
    return [
        identify(9, None, on="phone", email=HOME),
        identify(8, None, on="laptop", email="HOME@example.com", phone="030 123456"),
        identify(7, "ada", email=HOME),
    ]


def family() -> list[Message]:
    """Two customers share an address and a number; a device of one names both."""
    return [
        identify(9, "ada", email=HOME),
        identify(8, "bob", email=HOME, phone="+4930123456"),
        identify(7, None, on="tablet", phone="0049 30 123456", email=HOME),
    ]


def login() -> list[Message]:
    """A device named ada's address before bob logged in on it."""
    return [
        identify(9, "ada", email=HOME),
        identify(8, None, on="tablet", email=HOME),
        page(7, "bob", on="tablet"),
    ]


def cookies() -> list[Message]:
    """A customer on more devices than they may have."""
    return [
        *(page(9 - n, "ada", on=f"browser-{n}") for n in range(3)),
        page(5, on="browser-2"),
    ]


STORIES: dict[str, tuple[Story, dict[str, int]]] = {
    "newsletter": (newsletter, {user("ada"): 3}),
    "family": (family, {user("ada"): 2, user("bob"): 1}),
    "login": (login, {user("ada"): 1, user("bob"): 2}),
    "cookies": (cookies, {user("ada"): 3, device("browser-2"): 1}),
}


@pytest.mark.parametrize("story", STORIES)
async def test_who_is_one_person_does_not_depend_on_what_arrives_first(
    engine: Engine, story: str
) -> None:
    messages, expected = STORIES[story]
    sent = messages()
    for order in [sent[::-1], sent[1:] + sent[:1]]:
        for it in order:
            await engine.send(it)
            await engine.settled()

    assert await people(engine) == expected


async def test_a_stage_is_that_of_the_union(engine: Engine) -> None:
    await engine.send(*newsletter(), touchpoint(NOW - HOUR, user="ada", event="Order Completed"))
    await engine.settled()

    assert [it.target for it in engine.timeline("user_id", "ada")] == [
        "reach",
        "acquisition",
        "conversion",
    ]
    assert engine.timeline("anonymous_id", "phone") == []


async def test_what_joins_nobody_is_listed_with_its_reason(engine: Engine, client: Client) -> None:
    await engine.send(*family(), *cookies())
    await engine.settled()

    page = await told(client, f"{user('bob')}/merges")
    mine = await told(client, f"{user('ada')}/merges")

    told_of = [(it["identifiers"][0]["value"], it["without_effect"]) for it in page["decisions"]]
    assert set(told_of) == {
        ("+4930123456", None),
        ("+4930123456", "user_id: is stronger, and differs"),
        (HOME, "user_id: is stronger, and differs"),
    }
    beyond = [it["value"] for it in mine["beyond_limit"]]
    assert beyond == ["browser-1", "browser-2"]  # the tablet is hers by its match


async def test_a_match_that_is_taken_back_holds_no_more_and_stays_so(
    engine: Engine, client: Client
) -> None:
    await engine.send(*newsletter())
    await engine.settled()
    listed = await told(client, f"{user('ada')}/merges")
    (made,) = [
        it
        for it in listed["decisions"]
        if it["identifiers"][1]["value"] == "laptop" and it["identifiers"][0]["kind"] == "email"
    ]

    await decide(engine, client, f"{user('ada')}/unmerge", decision=made["id"])
    await engine.send(identify(1, None, on="laptop", email=HOME))
    await engine.settled()

    assert await people(engine) == {user("ada"): 2, device("laptop"): 2}


async def test_an_address_that_is_split_off_joins_nobody_any_more(
    engine: Engine, client: Client
) -> None:
    await engine.send(identify(9, "ada", email=HOME))
    await engine.settled()

    await decide(engine, client, f"{user('ada')}/split", identifier=f"email:{HOME}")
    engine.clock.set(NOW + 10 * HOUR)
    await engine.send(identify(-8, None, on="phone", email=HOME), identify(-9, "ada", email=HOME))
    await engine.settled()

    assert await people(engine) == {user("ada"): 2, device("phone"): 1}


async def test_whoever_was_erased_leaves_no_match(engine: Engine) -> None:
    await engine.send(*newsletter())
    await engine.settled()

    await engine.erase("user_id", "ada")
    await engine.send(identify(6, None, on="tablet", email=HOME))
    await engine.settled()

    assert await engine.fetch("SELECT value FROM identity") == [{"value": "tablet"}]
    assert await engine.fetch("SELECT FROM decision") == []


async def test_a_group_call_is_kept_with_the_person_and_joins_nobody(
    engine: Engine, client: Client
) -> None:
    await engine.send(group("ada"), group("bob"))
    await engine.settled()

    found = await client.get("/v1/profiles", {"identifier": "group_id:acme"}, scope="profiles:read")
    assert sorted(it["user_id"] for it in found.json()["profiles"]) == ["ada", "bob"]


async def test_a_number_without_a_country_is_found_in_either_form(
    engine: Engine, client: Client
) -> None:
    await engine.send(identify(1, "ada", phone="030/12 34 56"))
    await engine.settled()

    for written in ("030 123456", "+49 30 123456", "004930123456"):
        found = await client.get(
            "/v1/profiles", {"identifier": f"phone:{written}"}, scope="profiles:read"
        )
        assert [it["user_id"] for it in found.json()["profiles"]] == ["ada"]
