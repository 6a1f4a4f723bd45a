"""What browsers need of the tracking routes: CORS, and the settings that SDKs load."""

import pytest

from tests.support.ingest_world import BASIC, EVENT, KEY, IngestWorld, assert_error

ORIGIN = {"origin": "https://shop.example.com"}


async def test_a_preflight_allows_what_is_asked_for_without_a_key(world: IngestWorld) -> None:
    asked = "anonymousid,authorization,content-type,sentat,rsa-retry-attempt"

    answer = await world.http.options(
        "/v1/t",
        headers={
            **ORIGIN,
            "access-control-request-method": "POST",
            "access-control-request-headers": asked,
        },
    )

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "https://shop.example.com"
    assert answer.headers["access-control-allow-headers"] == asked
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert int(answer.headers["access-control-max-age"]) >= 600


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/track", EVENT, 200),
        ("/v1/track", b"{", 400),
        ("/v1/track?writeKey=x", EVENT, 200),
        ("/v1/nothing", EVENT, 404),
    ],
)
async def test_every_answer_can_be_read_from_another_origin(
    world: IngestWorld, path: str, body: object, status: int
) -> None:
    answer = await world.post(path, body, headers=BASIC | ORIGIN)

    assert answer.status_code == status
    assert answer.headers["access-control-allow-origin"] == "https://shop.example.com"
    assert answer.headers["access-control-expose-headers"] == "Retry-After"
    assert "Origin" in answer.headers["vary"]


async def test_a_503_can_be_read_from_another_origin(world: IngestWorld) -> None:
    world.broker.away = True

    answer = await world.post("/v1/track", EVENT, headers=BASIC | ORIGIN)

    assert answer.headers["access-control-expose-headers"] == "Retry-After"
    assert answer.headers["access-control-allow-origin"] == "https://shop.example.com"


async def test_the_browser_sdk_gets_its_settings_for_a_known_key(world: IngestWorld) -> None:
    known = await world.http.get(f"/v1/projects/{KEY}/settings", headers=ORIGIN)
    unknown = await world.http.get("/v1/projects/wk_nobody/settings", headers=ORIGIN)

    segment = known.json()["integrations"]["Segment.io"]
    assert segment["apiHost"] == "t.example.com/v1"
    assert segment["protocol"] == "http"
    assert known.headers["access-control-allow-origin"] == "https://shop.example.com"
    assert_error(unknown, 401, "write_key.unknown")


async def test_a_public_address_stands_in_the_settings() -> None:
    world = IngestWorld(public_url="https://t.example.org/clm/")
    await world.keyring.refresh()

    answer = await world.http.get(f"/v1/projects/{KEY}/settings")

    segment = answer.json()["integrations"]["Segment.io"]
    assert (segment["protocol"], segment["apiHost"]) == ("https", "t.example.org/clm/v1")
