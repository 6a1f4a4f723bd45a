"""Write keys of tracking requests: where they may stand, and what becomes of wrong ones."""

from collections.abc import Mapping

import pytest

from clm_common.instant import SECOND
from tests.support.ingest_world import BASIC, EVENT, KEY, NOW, IngestWorld, assert_error


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        (BASIC, "/v1/track"),
        ({"authorization": f"Basic {KEY}"}, "/v1/track"),
        ({"authorization": KEY}, "/v1/track"),
        ({"authorization": f"Bearer {KEY}"}, "/v1/track"),
        ({"x-write-key": KEY}, "/v1/track"),
        ({}, f"/v1/track?writeKey={KEY}"),
    ],
)
async def test_the_key_may_stand_in_a_header_or_the_query(
    world: IngestWorld, headers: Mapping[str, str], path: str
) -> None:
    answer = await world.post(path, EVENT, headers=headers)

    assert answer.status_code == 200


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer some.oauth.token"}])
async def test_the_key_may_stand_in_the_body(
    world: IngestWorld, headers: Mapping[str, str]
) -> None:
    single = await world.post("/v1/track", {**EVENT, "writeKey": KEY}, headers=headers)
    batch = await world.post("/v1/batch", {"batch": [EVENT], "writeKey": KEY}, headers=headers)

    assert (single.status_code, batch.status_code) == (200, 200)
    assert len(world.landed()) == 2
    assert all(KEY.encode() not in (record.value or b"") for record in world.landed())


async def test_a_key_in_the_header_beats_one_in_the_body(world: IngestWorld) -> None:
    masked = await world.post(
        "/v1/track", {**EVENT, "writeKey": "***"}, headers={"x-write-key": KEY}
    )
    wrong = await world.post(
        "/v1/track", {**EVENT, "writeKey": KEY}, headers={"x-write-key": "wk_wrong"}
    )

    assert masked.status_code == 200
    assert_error(wrong, 401, "write_key.unknown")


async def test_no_key_or_an_unknown_or_disabled_one_is_a_401(world: IngestWorld) -> None:
    missing = await world.post("/v1/track", EVENT, headers={})
    masked = await world.post("/v1/track", {**EVENT, "writeKey": "***"}, headers={})
    unknown = await world.post("/v1/track", EVENT, headers={"x-write-key": "wk_nobody"})
    disabled = await world.post("/v1/track", EVENT, headers={"x-write-key": "wk_disabled"})

    assert_error(missing, 401, "write_key.missing")
    assert_error(masked, 401, "write_key.missing")
    assert_error(unknown, 401, "write_key.unknown")
    assert_error(disabled, 401, "write_key.disabled")
    assert world.landed() == []


async def test_while_the_key_store_is_away_known_keys_work_and_others_are_a_503(
    world: IngestWorld,
) -> None:
    world.store_away = True
    world.clock.set(NOW + 3600 * SECOND)

    known = await world.post("/v1/track", EVENT)
    unknown = await world.post("/v1/track", EVENT, headers={"x-write-key": "wk_new"})

    assert known.status_code == 200
    assert_error(unknown, 503, "keys.away")
    assert unknown.headers["retry-after"].isdigit()


async def test_before_the_keys_were_read_every_key_is_a_503() -> None:
    assert_error(await IngestWorld().post("/v1/track", EVENT), 503, "keys.away")
