"""Moves by hand over HTTP: safe, once, in their place by event time, and never without a reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from clm_common.contracts.ids import profile_id
from clm_common.contracts.journey import TouchpointApplied
from clm_common.instant import DAY, HOUR, SECOND, to_rfc3339
from clm_common.store.database import Connection
from clm_stage_engine.api import make_app
from clm_stage_engine.core.manual import ByHand
from clm_stage_engine.live import Hub
from clm_stage_engine.queries import moving
from tests.support.asking import Client, client_of
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import touchpoint

ORDER = "Order Completed"
ADA = f"/v1/profiles/{profile_id('local', 'user_id', 'ada')}"
FRIEND = {"to": "loyalty", "reason": "speaks for us at every fair"}

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
async def ada(engine: Engine) -> None:
    """Let ada sign up ten days ago."""
    await engine.send(touchpoint(NOW - 10 * DAY, user="ada", event="Signed Up"))
    await engine.settled()


async def decide(client: Client, body: object, **headers: str) -> Json:
    answer = await client.post(f"{ADA}/moves", body, **headers)
    assert answer.status_code in {200, 202}, answer.text
    return answer.json()


async def told(client: Client, path: str) -> Json:
    answer = await client.get(path, scope="profiles:read")
    assert answer.status_code == 200, answer.text
    return answer.json()


def stages(engine: Engine) -> list[str]:
    return [it.target for it in engine.timeline("user_id", "ada")]


@pytest.mark.usefixtures("ada")
async def test_somebody_is_moved_with_a_reason_by_an_author_and_everybody_can_read_it(
    engine: Engine, client: Client
) -> None:
    made = await decide(client, FRIEND)
    await engine.settled()

    moved = engine.timeline("user_id", "ada")[-1]
    assert (moved.source, moved.target, moved.move) == ("acquisition", "loyalty", "move")
    assert (moved.cause, made["recorded"]) == (made["id"], False)
    first = (await told(client, f"{ADA}/explain"))["transitions"][0]
    assert first["why"]["kind"] == "manual"
    assert (first["why"]["reason"], first["why"]["author"]) == (FRIEND["reason"], "test")
    entries = (await told(client, f"{ADA}/timeline"))["entries"]
    assert [it["event"] or it["target"] for it in entries[-2:]] == ["Profile Moved", "loyalty"]
    (river,) = [
        it
        for it in engine.facts()
        if isinstance(it, TouchpointApplied) and it.source == "stage-engine"
    ]
    assert b'"author":"test"' in bytes(river.touchpoint)


@pytest.mark.usefixtures("ada")
async def test_conditions_go_on_from_where_somebody_was_put(engine: Engine, client: Client) -> None:
    await decide(client, {"to": "conversion", "reason": "bought at the fair"})
    await engine.send(
        touchpoint(NOW + 1 * SECOND, user="ada", event=ORDER),
        touchpoint(NOW + 2 * SECOND, user="ada", event=ORDER),
    )
    await engine.settled()

    assert stages(engine) == ["reach", "acquisition", "conversion", "retention"]


@pytest.mark.usefixtures("ada")
async def test_a_move_stands_at_its_own_instant_whatever_comes_late(
    engine: Engine, client: Client
) -> None:
    await decide(client, {**FRIEND, "at": to_rfc3339(NOW - 5 * DAY)})
    await engine.settled()
    assert stages(engine) == ["reach", "acquisition", "loyalty"]

    await engine.send(
        touchpoint(NOW - 7 * DAY, user="ada", event=ORDER),
        touchpoint(NOW - 6 * DAY, user="ada", event=ORDER),
    )
    await engine.settled()

    timeline = engine.timeline("user_id", "ada")
    assert [it.target for it in timeline[-3:]] == ["conversion", "retention", "loyalty"]
    assert timeline[-1].at == to_rfc3339(NOW - 5 * DAY)


@pytest.mark.parametrize("at", [None, NOW - 5 * DAY], ids=["now", "earlier"])
@pytest.mark.usefixtures("ada")
async def test_the_same_key_counts_once_whenever_it_is_repeated(
    engine: Engine, client: Client, at: int | None
) -> None:
    body = FRIEND if at is None else {**FRIEND, "at": to_rfc3339(at)}
    one = await decide(client, body, idempotency_key="k-1")
    engine.clock.set(NOW + HOUR)
    two = await decide(client, body, idempotency_key="k-1")
    await engine.settled()
    three = await decide(client, body, idempotency_key="k-1")
    await engine.settled()

    assert one["id"] == two["id"] == three["id"]
    assert (one["recorded"], three["recorded"]) == (False, True)
    rows = await engine.fetch("SELECT time FROM history WHERE source = 'stage-engine'")
    assert len(rows) == 1
    assert stages(engine) == ["reach", "acquisition", "loyalty"]
    other = await client.post(
        f"{ADA}/moves", {**FRIEND, "reason": "another"}, idempotency_key="k-1"
    )
    assert (other.status_code, other.json()["slug"]) == (422, "move.key_reused")


@pytest.mark.usefixtures("ada")
async def test_a_repeat_that_is_asked_for_while_the_first_lands_is_no_conflict(
    engine: Engine, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded, firsts = moving.recorded, list[Json]()

    async def while_the_first_lands(
        db: Connection, profiles: Sequence[UUID], move: str
    ) -> tuple[int, ByHand] | None:
        found = await recorded(db, profiles, move)
        if not firsts:
            monkeypatch.setattr(moving, "recorded", recorded)
            firsts.append(await decide(client, FRIEND, idempotency_key="k-1"))
            await engine.settled()
        return found

    monkeypatch.setattr(moving, "recorded", while_the_first_lands)
    repeat = await decide(client, FRIEND, idempotency_key="k-1")
    await engine.settled()

    assert [repeat["id"]] == [it["id"] for it in firsts]
    assert stages(engine) == ["reach", "acquisition", "loyalty"]


async def test_a_device_that_nobody_knows_is_moved_too_and_keeps_it_when_it_becomes_hers(
    engine: Engine, client: Client
) -> None:
    await engine.send(touchpoint(NOW - 3 * DAY, anonymous="a", kind="page"))
    await engine.settled()
    device = f"/v1/profiles/{profile_id('local', 'anonymous_id', 'a')}"

    assert (await client.post(f"{device}/moves", FRIEND)).status_code == 202
    await engine.settled()
    await engine.send(touchpoint(NOW + SECOND, anonymous="a", user="ada", kind="identify"))
    await engine.settled()

    assert stages(engine) == ["reach", "loyalty"]


@pytest.mark.usefixtures("ada")
async def test_only_the_engine_itself_can_say_that_somebody_was_moved(
    engine: Engine, client: Client
) -> None:
    await decide(client, FRIEND)
    (sent,) = [
        it for it in engine.broker.records("clm.touchpoints") if b"Moved" in (it.value or b"")
    ]
    forged = touchpoint(
        NOW,
        user="ada",
        event="Profile Moved",
        lifecycle="reach",
        stage="retention",
        reason="because",
        author="mallory",
    )
    await engine.send(forged)
    await engine.settled()

    assert dict(sent.headers)["ce_source"] == b"/workspaces/local/sources/stage-engine"
    assert stages(engine) == ["reach", "acquisition", "loyalty"]


@pytest.mark.parametrize(
    ("body", "status", "slug"),
    [
        ({"to": "loyalty"}, 422, "request.invalid"),
        ({"to": "loyalty", "reason": "  "}, 422, "request.invalid"),
        ({"to": "loyalty", "reason": "x", "author": "eve"}, 422, "request.invalid"),
        ({"to": "nirvana", "reason": "x"}, 422, "move.stage_unknown"),
        ({"to": "loyalty", "reason": "x", "lifecycle": "saas"}, 422, "move.lifecycle_unknown"),
        ({"to": "acquisition", "reason": "x"}, 409, "move.there"),
        ({**FRIEND, "at": to_rfc3339(NOW + HOUR)}, 422, "move.future"),
        ({**FRIEND, "at": to_rfc3339(NOW - 99 * DAY)}, 422, "move.too_early"),
    ],
    ids=["no-reason", "blank", "author", "stage", "lifecycle", "there", "future", "early"],
)
@pytest.mark.usefixtures("ada")
async def test_what_cannot_be_decided_is_refused_with_what_to_do(
    engine: Engine, client: Client, body: Json, status: int, slug: str
) -> None:
    answer = await client.post(f"{ADA}/moves", body)

    assert (answer.status_code, answer.json()["slug"]) == (status, slug)
    assert len(engine.broker.records("clm.touchpoints")) == 1


@pytest.mark.usefixtures("ada")
async def test_moving_needs_the_right_to_write_profiles_and_somebody_to_move(
    client: Client,
) -> None:
    nobody = f"/v1/profiles/{profile_id('local', 'user_id', 'nobody')}/moves"

    assert (await client.post(f"{ADA}/moves", FRIEND, scope="profiles:read")).status_code == 403
    assert (await client.post(nobody, FRIEND)).status_code == 404
