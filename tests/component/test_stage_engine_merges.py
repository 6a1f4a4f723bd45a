"""Merging, unmerging and splitting people over HTTP: safe, explained, and both are restored."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from clm_common.contracts.ids import profile_id
from clm_common.contracts.journey import IdentityMoved, TouchpointApplied
from clm_common.instant import DAY, HOUR, SECOND
from clm_common.runtime.handler import Connection
from clm_stage_engine.api import make_app
from clm_stage_engine.live import Hub
from clm_stage_engine.queries import sight
from tests.support.asking import Client, client_of
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import alias, touchpoint

ORDER = "Order Completed"
ADA, BOB = (str(profile_id("local", "user_id", it)) for it in ("ada", "bob"))
PHONE = str(profile_id("local", "anonymous_id", "phone"))
WHY = "same address, she called"

Json = Any  # Any: what an answer holds


@pytest.fixture
def client(engine: Engine) -> Client:
    hub = Hub(engine.database, engine.clock)
    return client_of(
        lambda verifier: make_app(
            engine.database, verifier, engine.clock, engine.board, hub, producer=engine.producer
        ),
        scope="profiles:write",
    )


@pytest.fixture
async def two(engine: Engine) -> None:
    """Let ada and bob, who has a phone, each buy once."""
    await engine.send(
        touchpoint(NOW - 9 * DAY, user="ada", event=ORDER),
        touchpoint(NOW - 8 * DAY, user="bob", anonymous="phone", kind="identify"),
        touchpoint(NOW - 7 * DAY, anonymous="phone", kind="page"),
        touchpoint(NOW - 5 * DAY, user="bob", event=ORDER),
    )
    await engine.settled()


async def decide(
    engine: Engine, client: Client, profile: str, what: str, body: object, **headers: str
) -> Json:
    answer = await client.post(f"/v1/profiles/{profile}/{what}", body, **headers)
    assert answer.status_code in {200, 202}, answer.text
    await engine.settled()
    return answer.json()


async def told(client: Client, path: str) -> Json:
    answer = await client.get(f"/v1/profiles{path}", scope="profiles:read")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def standing(engine: Engine) -> object:
    """Give where everybody stands, but for the versions, and what was published of it."""
    rows = await engine.fetch(
        "SELECT id, user_id, touchpoints, stage, stage_since, first_seen, last_seen, state "
        "FROM profile WHERE state IS NOT NULL ORDER BY id"
    )
    timelines = [
        [(it.id, it.at, it.target) for it in engine.timeline(kind, name)]
        for kind, name in [("user_id", "ada"), ("user_id", "bob"), ("anonymous_id", "phone")]
    ]
    return rows, timelines


@pytest.mark.usefixtures("two")
async def test_a_merge_is_the_fold_of_both_and_taking_it_back_restores_both_exactly(
    engine: Engine, client: Client
) -> None:
    before = await standing(engine)

    made = await decide(engine, client, ADA, "merge", {"other": BOB, "reason": WHY})
    merged = await told(client, f"/{BOB}")
    await decide(engine, client, BOB, "unmerge", {"decision": made["id"], "reason": "her sister"})

    assert (merged["id"], merged["merged_into"]) == (ADA, ADA)
    assert (merged["stage"], merged["touchpoints"]) == ("retention", 4)
    assert merged["anonymous_ids"] == ["phone"]
    assert await standing(engine) == before
    applied = [it for it in engine.facts() if isinstance(it, TouchpointApplied)]
    assert all(it.source != "stage-engine" for it in applied)


@pytest.mark.usefixtures("two")
@pytest.mark.parametrize(
    "path", ["", "/timeline", "/explain", "/touchpoints", "/identities", "/merges"]
)
async def test_whoever_is_merged_while_they_are_asked_for_is_told_as_they_were_before(
    engine: Engine, client: Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    owner, merged = sight.owner, list[Json]()
    before = await told(client, f"/{BOB}{path}")

    async def found(db: Connection, workspace: str, identity: UUID, at: datetime) -> UUID | None:
        whose = await owner(db, workspace, identity, at)
        if not merged:
            merged.append(None)
            await decide(engine, client, ADA, "merge", {"other": BOB, "reason": WHY})
        return whose

    monkeypatch.setattr(sight, "owner", found)
    meanwhile = await told(client, f"/{BOB}{path}")

    assert meanwhile == before
    assert await told(client, f"/{BOB}{path}") != before


@pytest.mark.usefixtures("two")
async def test_a_merged_person_is_found_by_either_id(engine: Engine, client: Client) -> None:
    await decide(engine, client, ADA, "merge", {"other": BOB, "reason": WHY})

    found = [
        (await told(client, f"?{query}"))["profiles"][0]["id"]
        for query in ("user_id=ada", "user_id=bob", "anonymous_id=phone")
    ]
    everybody = (await told(client, ""))["profiles"]

    assert found == [ADA, ADA, ADA]
    assert [it["id"] for it in everybody] == [ADA]


@pytest.mark.usefixtures("two")
async def test_what_they_do_while_they_are_merged_is_theirs_again_afterwards(
    engine: Engine, client: Client
) -> None:
    made = await decide(engine, client, ADA, "merge", {"other": BOB, "reason": WHY})
    await engine.send(
        touchpoint(NOW + SECOND, anonymous="phone", event=ORDER),
        touchpoint(NOW + 2 * SECOND, user="ada", event="Referral Made"),
    )
    await engine.settled()
    assert (await told(client, f"/{ADA}"))["touchpoints"] == 6

    await decide(engine, client, ADA, "unmerge", {"decision": made["id"], "reason": "her sister"})

    bob, ada = await told(client, f"/{BOB}"), await told(client, f"/{ADA}")
    assert (bob["stage"], bob["touchpoints"], bob["merged_into"]) == ("retention", 4, None)
    assert (ada["stage"], ada["touchpoints"]) == ("conversion", 2)


@pytest.mark.usefixtures("two")
async def test_a_shared_device_that_was_split_off_stays_so_whoever_logs_in_on_it(
    engine: Engine, client: Client
) -> None:
    split = {"identifier": "anonymous_id:phone", "reason": "it stands in the shop"}
    made = await decide(engine, client, BOB, "split", split)
    await engine.send(touchpoint(NOW, user="ada", anonymous="phone", kind="identify"))
    await engine.send(touchpoint(NOW + SECOND, anonymous="phone", kind="page"))
    await engine.settled()

    phone = await told(client, f"/{PHONE}")
    assert (phone["id"], phone["touchpoints"], phone["stage"]) == (PHONE, 2, "reach")
    await decide(engine, client, PHONE, "unmerge", {"decision": made["id"], "reason": "gone"})
    assert (await told(client, f"/{PHONE}"))["id"] == BOB


@pytest.mark.usefixtures("two")
async def test_a_customer_that_was_merged_can_be_split_off_with_their_devices(
    engine: Engine, client: Client
) -> None:
    before = await standing(engine)
    await decide(engine, client, ADA, "merge", {"other": BOB, "reason": WHY})
    engine.clock.set(NOW + SECOND)  # of two decisions at one instant, names say which was first

    await decide(engine, client, ADA, "split", {"identifier": "user_id:bob", "reason": "no"})

    assert await standing(engine) == before


@pytest.mark.usefixtures("two")
async def test_each_decision_is_kept_with_reason_author_and_what_became_of_it(
    engine: Engine, client: Client
) -> None:
    made = await decide(engine, client, ADA, "merge", {"other": BOB, "reason": WHY})
    engine.clock.set(NOW + HOUR)
    back = await decide(
        engine, client, ADA, "unmerge", {"decision": made["id"], "reason": "her sister"}
    )
    await engine.send(alias(NOW + HOUR, user="ada", previous="eve"))
    await engine.settled()

    ada, bob = await told(client, f"/{ADA}/merges"), await told(client, f"/{BOB}/merges")
    listed = [(it["kind"], it["reason"], it["author"]) for it in ada["decisions"]]
    assert sorted(listed, key=str) == sorted(
        [
            ("unmerge", "her sister", "test"),
            ("merge", WHY, "test"),
            ("alias", None, None),
        ],
        key=str,
    )
    assert [(it["id"], it["undone_by"]) for it in bob["decisions"]] == [
        (back["id"], None),
        (made["id"], back["id"]),
    ]
    assert bob["decisions"][1]["identifiers"] == [
        {"kind": "user_id", "value": "ada"},
        {"kind": "user_id", "value": "bob"},
    ]
    assert bob["decisions"][1]["recorded_at"] is not None
    first = await told(client, f"/{ADA}/merges?limit=1")
    rest = await told(client, f"/{ADA}/merges?cursor={first['next']}")
    assert [*first["decisions"], *rest["decisions"]] == ada["decisions"]


@pytest.mark.usefixtures("two")
async def test_an_alias_that_was_taken_back_stays_so_though_it_is_sent_again(
    engine: Engine, client: Client
) -> None:
    await engine.send(alias(NOW - HOUR, user="ada", previous="bob"))
    await engine.settled()
    (known,) = (await told(client, f"/{ADA}/merges"))["decisions"]

    await decide(engine, client, ADA, "unmerge", {"decision": known["id"], "reason": "no"})
    await engine.send(alias(NOW, user="ada", previous="bob"))
    await engine.settled()

    assert (await told(client, f"/{BOB}"))["merged_into"] is None


@pytest.mark.usefixtures("two")
async def test_the_same_key_decides_once(engine: Engine, client: Client) -> None:
    body = {"other": BOB, "reason": WHY}
    one = await decide(engine, client, ADA, "merge", body, idempotency_key="k-1")
    engine.clock.set(NOW + HOUR)
    two = await decide(engine, client, ADA, "merge", body, idempotency_key="k-1")

    assert one["id"] == two["id"]
    assert (one["recorded_at"], two["recorded_at"] is None) == (None, False)
    moves = [it for it in engine.facts() if isinstance(it, IdentityMoved)]
    assert [it.moves for it in moves if str(it.identity_id) == BOB] == [1, 1]
    other = await client.post(
        f"/v1/profiles/{ADA}/merge", {**body, "reason": "another"}, idempotency_key="k-1"
    )
    assert (other.status_code, other.json()["slug"]) == (422, "merge.key_reused")


@pytest.mark.usefixtures("two")
async def test_a_device_merged_with_a_customer_becomes_the_customer_s(
    engine: Engine, client: Client
) -> None:
    await engine.send(touchpoint(NOW - DAY, anonymous="till", kind="page"))
    await engine.settled()
    till = str(profile_id("local", "anonymous_id", "till"))

    await decide(engine, client, till, "merge", {"other": ADA, "reason": WHY})

    assert (await told(client, f"/{till}"))["id"] == ADA


@pytest.mark.parametrize(
    ("what", "body", "status", "slug"),
    [
        ("merge", {"other": ADA, "reason": WHY}, 409, "merge.same"),
        ("merge", {"other": str(uuid4()), "reason": WHY}, 404, "profile.unknown"),
        ("merge", {"other": BOB}, 422, "request.invalid"),
        ("merge", {"other": BOB, "reason": WHY, "author": "eve"}, 422, "request.invalid"),
        ("unmerge", {"decision": str(uuid4()), "reason": WHY}, 404, "merge.unknown"),
        ("split", {"identifier": "anonymous_id:phone", "reason": WHY}, 404, "split.unknown"),
        ("split", {"identifier": "user_id:ada", "reason": WHY}, 409, "split.alone"),
        ("split", {"identifier": "email:ada@example.com", "reason": WHY}, 422, "request.invalid"),
    ],
)
@pytest.mark.usefixtures("two")
async def test_what_cannot_be_is_refused(
    client: Client, what: str, body: object, status: int, slug: str
) -> None:
    answer = await client.post(f"/v1/profiles/{ADA}/{what}", body)

    assert (answer.status_code, answer.json()["slug"]) == (status, slug)


async def test_only_who_may_write_decides(client: Client) -> None:
    answer = await client.post(f"/v1/profiles/{ADA}/merge", {}, scope="profiles:read")

    assert answer.status_code == 403
