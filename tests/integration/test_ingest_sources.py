"""The admin API of sources, with real PostgreSQL and Kafka, and two processes."""

import httpx
import pytest

from tests.support.ingest import IngestProcess, until

EVENT = {"type": "track", "event": "Order Completed", "userId": "u-1", "messageId": "m-1"}
PATH = "/v1/admin/sources"

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def create(shop: IngestProcess, **body: object) -> httpx.Response:
    return await shop.http.post(PATH, json={"name": "web", **body}, headers=shop.token())


async def track(shop: IngestProcess, key: str, origin: str) -> int:
    headers = {"x-write-key": key, "origin": origin}
    return (await shop.http.post("/v1/track", json=EVENT, headers=headers)).status_code


async def test_a_policy_is_acted_by_in_every_process_within_two_seconds(
    shop: IngestProcess, other: IngestProcess
) -> None:
    made = (await create(shop)).json()
    place, key = f"{PATH}/{made['id']}", made["write_key"]
    policy = {"allowed_origins": ["https://shop.example.com"]}

    async def refused() -> bool:
        return await track(other, key, "https://evil.com") == 403

    async def known() -> bool:
        return await track(other, key, "https://evil.com") == 200

    await until(known, seconds=10)
    changed = await shop.http.patch(place, json={"policy": policy}, headers=shop.token())
    here = await track(shop, key, "https://evil.com")
    there = await until(refused, seconds=10)

    assert changed.json()["policy"]["allowed_origins"] == ["https://shop.example.com"]
    assert here == 403
    assert there < 2
    assert await track(other, key, "https://shop.example.com") == 200


async def test_a_change_of_what_has_changed_since_is_refused(shop: IngestProcess) -> None:
    made = await create(shop)
    place = f"{PATH}/{made.json()['id']}"
    first = made.headers["etag"]

    def as_of(tag: str) -> dict[str, str]:
        return {**shop.token(), "if-match": tag}

    renamed = await shop.http.patch(place, json={"name": "site"}, headers=as_of(first))
    late = await shop.http.patch(place, json={"name": "page"}, headers=as_of(first))
    weak = await shop.http.patch(
        place, json={"name": "page"}, headers=as_of(f"W/{renamed.headers['etag']}")
    )
    read = await shop.http.get(place, headers=shop.token())
    one_of = await shop.http.patch(
        place, json={"name": "page"}, headers=as_of(f'"77", {read.headers["etag"]}')
    )
    any_of = await shop.http.patch(place, json={"name": "web"}, headers=as_of("*"))

    assert (renamed.status_code, renamed.json()["name"]) == (200, "site")
    assert (late.status_code, late.json()["slug"]) == (412, "source.changed")
    assert weak.status_code == 412
    assert read.json()["name"] == "site"
    assert read.headers["etag"] == renamed.headers["etag"] != first
    assert (one_of.status_code, any_of.status_code) == (200, 200)


async def test_sources_come_in_pages_and_each_once(shop: IngestProcess) -> None:
    names = [f"source {number}" for number in range(7)]
    for name in names:
        await create(shop, name=name)

    found: list[str] = []
    cursor = ""
    while True:
        query = f"?limit=3{cursor}"
        page = (await shop.http.get(PATH + query, headers=shop.token())).json()
        found += [source["name"] for source in page["sources"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"

    assert found == names


@pytest.mark.parametrize("cursor", ["x", "W10=", "é", "WyIyMDI2LTAxLTAxVDAwOjAwOjAwIiwiYSJd"])
async def test_a_cursor_that_is_none_of_ours_is_refused(shop: IngestProcess, cursor: str) -> None:
    answer = await shop.http.get(PATH, params={"cursor": cursor}, headers=shop.token())

    assert (answer.status_code, answer.json()["slug"]) == (400, "cursor.invalid")


async def test_a_disabled_source_can_be_enabled_again(shop: IngestProcess) -> None:
    made = (await create(shop)).json()
    place, key = f"{PATH}/{made['id']}", made["write_key"]

    await shop.http.post(f"{place}/disable", headers=shop.token())
    off = await track(shop, key, "")
    enabled = await shop.http.post(f"{place}/enable", headers=shop.token())
    on = await track(shop, key, "")

    assert (off, on) == (401, 200)
    assert enabled.json()["disabled_at"] is None


@pytest.mark.parametrize(
    "policy",
    [
        {"allowed_origins": ["nonsense://"]},
        {"limits": {"body_bytes": 999_999_999}},
        {"limits": {"event_bytes": 600_000}},
        {"limits": {"batch_events": 2_501}},
        {"ip": "sell"},
        {"no_such_thing": True},
    ],
)
async def test_a_policy_that_cannot_be_is_refused_with_the_reason(
    shop: IngestProcess, policy: dict[str, object]
) -> None:
    created = await create(shop, policy=policy)
    made = (await create(shop)).json()
    changed = await shop.http.patch(
        f"{PATH}/{made['id']}", json={"policy": policy}, headers=shop.token()
    )

    for answer in (created, changed):
        assert answer.status_code == 422
        assert answer.json()["detail"]


async def test_a_workspace_sees_and_changes_its_own_sources_only(shop: IngestProcess) -> None:
    made = (await create(shop)).json()
    stranger = shop.token("admin", workspace="somebody-else")
    place = f"{PATH}/{made['id']}"

    answers = [
        await shop.http.get(place, headers=stranger),
        await shop.http.patch(place, json={"name": "mine"}, headers=stranger),
        *[
            await shop.http.post(f"{place}/{verb}", headers=stranger)
            for verb in ("rotate", "disable", "enable")
        ],
    ]

    assert [(it.status_code, it.json()["slug"]) for it in answers] == [(404, "source.unknown")] * 5


async def test_a_name_that_is_taken_or_cannot_be_stored_is_refused(shop: IngestProcess) -> None:
    await create(shop, name="taken")
    made = (await create(shop)).json()

    taken = await shop.http.patch(
        f"{PATH}/{made['id']}", json={"name": "taken"}, headers=shop.token()
    )
    broken = await create(shop, name="a\x00b")

    assert (taken.status_code, taken.json()["slug"]) == (409, "source.exists")
    assert broken.status_code == 422
