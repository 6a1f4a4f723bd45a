"""Stage-engine's API over HTTP, on a real PostgreSQL with people that a worker folded."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from uuid import UUID

import pytest

from clm_common.bus.ports import Message
from clm_common.clock import SystemClock
from clm_common.contracts.ids import profile_id
from clm_common.instant import DAY, HOUR, SECOND, to_datetime, to_rfc3339
from clm_stage_engine import definitions
from clm_stage_engine.api import make_app
from clm_stage_engine.live import Hub
from tests.support.asking import Client, Json, client_of
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import touchpoint

ORDER = "Order Completed"


@pytest.fixture
def client(engine: Engine) -> Client:
    hub = Hub(engine.database, SystemClock())
    return client_of(
        lambda verifier: make_app(
            engine.database, verifier, SystemClock(), engine.board, hub, producer=engine.producer
        ),
        scope="profiles:read",
    )


def of(kind: str, value: str, workspace: str = "local") -> UUID:
    return profile_id(workspace, kind, value)


async def fold(engine: Engine, *messages: Message) -> None:
    await engine.send(*messages)
    await engine.settled()


async def walk_in(engine: Engine) -> None:
    """Ada looks around, signs up and buys; bob only looks; mallory is somebody else's."""
    await fold(
        engine,
        touchpoint(NOW - 5 * HOUR, anonymous="a", kind="page"),
        touchpoint(NOW - 3 * HOUR, anonymous="a", user="ada", kind="identify"),
        touchpoint(NOW - 2 * HOUR, user="ada", event=ORDER, revenue=5.0, price=1.10),
        touchpoint(NOW - 4 * HOUR, anonymous="b", kind="page"),
        touchpoint(NOW - 4 * HOUR, user="mallory", event=ORDER, workspace="other"),
    )


def stages(page: Json) -> list[tuple[str | None, str]]:
    changes = [it for it in page["entries"] if it["kind"] == "stage_changed"]
    return [(it["source"], it["target"]) for it in changes]


async def test_somebody_is_found_by_any_identifier(engine: Engine, client: Client) -> None:
    await walk_in(engine)

    for how in (
        {"user_id": "ada"},
        {"anonymous_id": "a"},
        {"identifier": "user_id:ada"},
        {"identifier": "anonymous_id:a"},
    ):
        (ada,) = (await client.ask("/v1/profiles", **how))["profiles"]
        assert (ada["user_id"], ada["stage"], ada["touchpoints"]) == ("ada", "conversion", 3)
        assert ada["anonymous_ids"] == ["a"]
    assert (await client.ask("/v1/profiles", user_id="mallory"))["profiles"] == []
    assert (await client.ask("/v1/profiles", identifier="email:a@b.example"))["profiles"] == []


async def test_who_asks_wrongly_is_told_what_to_do(engine: Engine, client: Client) -> None:
    await walk_in(engine)
    ada = f"/v1/profiles/{of('user_id', 'ada')}"

    assert (await client.refusal("/v1/profiles", identifier="ada"))[:2] == (
        422,
        "identifier.invalid",
    )
    assert (await client.refusal("/v1/profiles", user_id="a", anonymous_id="b"))[:2] == (
        422,
        "identifier.several",
    )
    assert (await client.refusal("/v1/profiles", entered_from="2025-01-01"))[:2] == (
        422,
        "profiles.stage_missing",
    )
    assert (await client.refusal("/v1/profiles", cursor="x"))[:2] == (400, "cursor.invalid")
    assert (await client.refusal(f"{ada}/timeline", cursor="WzFd"))[:2] == (400, "cursor.invalid")
    assert (await client.refusal(ada, as_of="2999-01-01T00:00:00Z"))[:2] == (422, "as_of.future")
    assert (await client.refusal(f"/v1/profiles/{UUID(int=1)}"))[:2] == (404, "profile.unknown")
    mallory = f"/v1/profiles/{of('user_id', 'mallory', 'other')}"
    for path in (mallory, f"{mallory}/timeline", f"{mallory}/touchpoints"):
        assert (await client.refusal(path))[:2] == (404, "profile.unknown")
    assert (await client.get(ada, scope="metrics:read")).status_code == 403


@pytest.mark.parametrize(
    ("asked", "slug"),
    [
        ({"lifecycle": "saas"}, "lifecycle.not_running"),
        ({"stage": "conversio"}, "stage.unknown"),
    ],
)
async def test_a_stream_that_would_tell_nothing_is_refused_before_it_begins(
    client: Client, asked: dict[str, str], slug: str
) -> None:
    status, found, _ = await client.refusal("/v1/stream", **asked)

    assert (status, found) == (404, slug)


async def test_a_stage_lists_its_people_in_the_order_they_came(
    engine: Engine, client: Client
) -> None:
    await fold(
        engine,
        *(touchpoint(NOW - n * HOUR, user=f"u{n}", event=ORDER) for n in range(1, 8)),
        touchpoint(NOW - HOUR, user="x", kind="page"),
    )

    found: list[str] = []
    page = await client.ask("/v1/profiles", stage="development", limit="3")
    while True:
        found += [it["user_id"] for it in page["profiles"]]
        if page["next"] is None:
            break
        page = await client.ask("/v1/profiles", stage="conversion", limit="3", cursor=page["next"])
    within = await client.ask(
        "/v1/profiles",
        stage="conversion",
        entered_from=to_rfc3339(NOW - 3 * HOUR),
        entered_until=to_rfc3339(NOW - 2 * HOUR),
    )

    assert found == ["u7", "u6", "u5", "u4", "u3", "u2", "u1"]
    assert [it["user_id"] for it in within["profiles"]] == ["u3"]
    counts = await client.ask("/v1/stages")
    assert counts["lifecycle"] == "reach"
    assert {it["stage"]: it["people"] for it in counts["stages"]} == {
        "reach": 1,
        "acquisition": 0,
        "conversion": 7,
        "retention": 0,
        "loyalty": 0,
    }


async def test_all_profiles_can_be_paged_through(engine: Engine, client: Client) -> None:
    await fold(engine, *(touchpoint(NOW - HOUR, user=f"u{n}", event=ORDER) for n in range(7)))

    found: list[str] = []
    page = await client.ask("/v1/profiles", limit="2")
    found += [it["user_id"] for it in page["profiles"]]
    while page["next"]:
        page = await client.ask("/v1/profiles", limit="2", cursor=page["next"])
        found += [it["user_id"] for it in page["profiles"]]

    assert sorted(found) == [f"u{n}" for n in range(7)]


async def test_a_timeline_comes_in_pages_with_each_change_after_its_cause(
    engine: Engine, client: Client
) -> None:
    same = NOW - HOUR
    await fold(
        engine,
        touchpoint(same, user="u", event=ORDER, message_id="1"),
        touchpoint(same, user="u", event=ORDER, message_id="2"),
        touchpoint(same, user="u", event=ORDER, message_id="3"),
        touchpoint(same, user="u", event="Product Reviewed", message_id="4"),
    )
    path = f"/v1/profiles/{of('user_id', 'u')}/timeline"

    whole = (await client.ask(path))["entries"]
    pieces: list[Json] = []
    page = await client.ask(path, limit="2")
    pieces += page["entries"]
    while page["next"]:
        page = await client.ask(path, limit="2", cursor=page["next"])
        pieces += page["entries"]

    assert [it["id"] if it["kind"] == "touchpoint" else it["target"] for it in whole] == [
        "shop/1",
        "reach",
        "conversion",
        "shop/2",
        "retention",
        "shop/3",
        "shop/4",
        "loyalty",
    ]
    assert pieces == whole


async def test_touchpoints_come_newest_first_as_they_were_sent(
    engine: Engine, client: Client
) -> None:
    await walk_in(engine)
    path = f"/v1/profiles/{of('user_id', 'ada')}/touchpoints"

    answer = await client.get(path)
    page = answer.json()

    assert [it["type"] for it in page["touchpoints"]] == ["track", "identify", "page"]
    assert page["touchpoints"][0]["touchpoint"]["properties"] == {"revenue": 5.0, "price": 1.1}
    assert b'"price": 1.1' in answer.content
    assert [it["event"] for it in (await client.ask(path, event=ORDER))["touchpoints"]] == [ORDER]
    assert [it["type"] for it in (await client.ask(path, type_="page"))["touchpoints"]] == ["page"]
    assert (await client.ask(path, source="nobody"))["touchpoints"] == []
    within = await client.ask(
        path, since=to_rfc3339(NOW - 3 * HOUR), until=to_rfc3339(NOW - 2 * HOUR)
    )
    assert [it["type"] for it in within["touchpoints"]] == ["identify"]


async def test_touchpoints_come_in_pages_over_devices_and_months(
    engine: Engine, client: Client
) -> None:
    days = range(0, 140, 10)
    await fold(
        engine,
        touchpoint(NOW - HOUR, user="u", anonymous="a", kind="identify"),
        *(touchpoint(NOW - n * DAY, anonymous="a", kind="page") for n in days if n % 20 == 0),
        *(touchpoint(NOW - n * DAY, user="u", event="Seen") for n in days if n % 20),
    )
    path = f"/v1/profiles/{of('user_id', 'u')}/touchpoints"

    whole = (await client.ask(path))["touchpoints"]
    pieces: list[Json] = []
    page = await client.ask(path, limit="4")
    pieces += page["touchpoints"]
    while page["next"]:
        page = await client.ask(path, limit="4", cursor=page["next"])
        pieces += page["touchpoints"]

    assert pieces == whole
    moments = [datetime.fromisoformat(it["at"]) for it in whole]
    assert moments == sorted(moments, reverse=True)
    assert len(whole) == len(days) + 1


async def test_a_merged_profile_says_where_it_went(engine: Engine, client: Client) -> None:
    await fold(engine, touchpoint(NOW - 3 * HOUR, anonymous="a", kind="page"))
    await fold(engine, touchpoint(NOW - 2 * HOUR, anonymous="a", user="u", kind="identify"))
    gone, kept = of("anonymous_id", "a"), of("user_id", "u")

    answer = await client.get(f"/v1/profiles/{gone}")

    assert answer.json()["id"] == answer.json()["merged_into"] == str(kept)
    assert answer.headers["content-location"] == f"/v1/profiles/{kept}"
    assert (await client.ask(f"/v1/profiles/{kept}"))["merged_into"] is None
    listed = await client.ask(f"/v1/profiles/{gone}/identities")
    assert [(it["kind"], it["value"]) for it in listed["identities"]] == [
        ("anonymous_id", "a"),
        ("user_id", "u"),
    ]
    assert listed["identities"][0]["linked_at"] is not None


async def test_what_has_not_changed_is_not_sent_again(engine: Engine, client: Client) -> None:
    await walk_in(engine)
    path = f"/v1/profiles/{of('user_id', 'ada')}"

    first = await client.get(path)
    again = await client.get(path, if_none_match=f'W/"other", {first.headers["etag"]}')
    await fold(engine, touchpoint(NOW - HOUR, user="ada", event="Seen"))
    changed = await client.get(path, if_none_match=first.headers["etag"])

    assert first.headers["cache-control"] == "private, no-cache"
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


async def test_deadlines_say_who_will_move_when_and_where(engine: Engine, client: Client) -> None:
    await walk_in(engine)
    due = NOW - 2 * HOUR + 120 * DAY

    later = await client.ask("/v1/deadlines", before=to_rfc3339(due))
    sooner = await client.ask("/v1/deadlines", before=to_rfc3339(due - SECOND))

    (deadline,) = later["deadlines"]
    assert (deadline["user_id"], deadline["stage"]) == ("ada", "conversion")
    assert datetime.fromisoformat(deadline["due"]) == to_datetime(due)
    assert deadline["then"] == {"target": "acquisition", "move": "lapsed"}
    assert sooner["deadlines"] == []


async def test_deadlines_come_in_pages_the_earliest_first(engine: Engine, client: Client) -> None:
    await fold(engine, *(touchpoint(NOW - n * HOUR, user=f"u{n}", event=ORDER) for n in range(9)))

    found: list[Json] = []
    page = await client.ask("/v1/deadlines", before="2999-01-01", limit="4")
    found += page["deadlines"]
    while page["next"]:
        page = await client.ask(
            "/v1/deadlines", before="2999-01-01", limit="4", cursor=page["next"]
        )
        found += page["deadlines"]

    assert [it["user_id"] for it in found] == [f"u{n}" for n in range(8, -1, -1)]


async def test_the_lifecycle_that_runs_is_given_as_data_and_as_written(client: Client) -> None:
    (reach,) = (await client.ask("/v1/lifecycles"))["lifecycles"]

    assert (reach["key"], reach["start"]) == ("reach", "reach")
    assert reach["document"]["moves"][0]["to"] == "conversion"
    assert definitions.parse(reach["yaml"]).digest == reach["definition"]
    assert definitions.parse(json.dumps(reach["document"])).digest == reach["definition"]


async def test_the_stage_at_an_instant_is_as_known_today(engine: Engine, client: Client) -> None:
    await walk_in(engine)
    path = f"/v1/profiles/{of('user_id', 'ada')}"

    early = await client.ask(path, as_of=to_rfc3339(NOW - 4 * HOUR))
    middle = await client.ask(path, as_of=to_rfc3339(NOW - 3 * HOUR))

    assert (early["stage"], early["touchpoints"]) == ("reach", 1)
    assert (middle["stage"], middle["touchpoints"]) == ("acquisition", 2)
    assert datetime.fromisoformat(middle["as_of"]) == to_datetime(NOW - 3 * HOUR)
    page = await client.ask(f"{path}/timeline", as_of=to_rfc3339(NOW - 3 * HOUR))
    assert stages(page) == [(None, "reach"), ("reach", "acquisition")]
    assert (await client.refusal(path, as_of=to_rfc3339(NOW - 9 * HOUR)))[:2] == (
        404,
        "profile.not_yet",
    )


async def test_what_was_believed_then_is_not_what_is_known_now(
    engine: Engine, client: Client
) -> None:
    await fold(engine, touchpoint(NOW - 2 * HOUR, user="u", event=ORDER))
    ((monday,),) = [row.values() for row in await engine.fetch("SELECT clock_timestamp()")]
    await fold(engine, touchpoint(NOW - 5 * HOUR, user="u", event=ORDER))
    path, believed = f"/v1/profiles/{of('user_id', 'u')}", monday.isoformat()

    now = await client.ask(path)
    then = await client.ask(path, recorded=believed)

    assert (now["stage"], now["touchpoints"]) == ("retention", 2)
    assert (then["stage"], then["touchpoints"]) == ("conversion", 1)
    assert datetime.fromisoformat(then["stage_since"]) == to_datetime(NOW - 2 * HOUR)
    early = to_rfc3339(NOW - 4 * HOUR)
    assert (await client.ask(path, as_of=early))["stage"] == "conversion"
    assert (await client.refusal(path, as_of=early, recorded=believed))[1] == "profile.not_yet"
    touches = await client.ask(f"{path}/touchpoints", recorded=believed)
    assert len(touches["touchpoints"]) == 1


async def test_before_a_merge_was_known_both_profiles_stood_for_themselves(
    engine: Engine, client: Client
) -> None:
    await fold(engine, touchpoint(NOW - 3 * HOUR, anonymous="a", kind="page"))
    ((before,),) = [row.values() for row in await engine.fetch("SELECT clock_timestamp()")]
    await fold(engine, touchpoint(NOW - 2 * HOUR, anonymous="a", user="u", kind="identify"))
    device, user = (f"/v1/profiles/{of(*it)}" for it in (("anonymous_id", "a"), ("user_id", "u")))

    then = await client.ask(device, recorded=before.isoformat())

    assert (then["id"], then["merged_into"]) == (str(of("anonymous_id", "a")), None)
    assert (then["stage"], then["anonymous_ids"]) == ("reach", ["a"])
    assert (await client.ask(device))["merged_into"] == str(of("user_id", "u"))
    believed = await client.ask(f"{device}/identities", recorded=before.isoformat())
    assert [it["value"] for it in believed["identities"]] == ["a"]
    assert len((await client.ask(f"{user}/identities"))["identities"]) == 2
    assert len((await client.ask(f"{user}/identities", limit="1"))["identities"]) == 1
    refused = await client.refusal(user, recorded=before.isoformat())
    assert refused[:2] == (404, "profile.unknown")


async def export(client: Client, path: str) -> Json:
    answer = await client.get(f"{path}/export", scope="profiles:export")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-disposition"].startswith("attachment")
    return answer.json()


async def test_an_export_holds_everything_that_is_kept_of_a_person(
    engine: Engine, client: Client
) -> None:
    await fold(engine, touchpoint(NOW - 5 * HOUR, anonymous="a", kind="page"))
    await walk_in(engine)
    path = f"/v1/profiles/{of('user_id', 'ada')}"

    found = await export(client, path)

    assert (found["workspace"], found["profile"]["stage"]) == ("local", "conversion")
    assert [(it["kind"], it["value"]) for it in found["identities"]] == [
        ("user_id", "ada"),
        ("anonymous_id", "a"),
    ]
    (merge,) = found["merges"]
    assert (merge["to_profile"], merge["emptied"]) == (str(of("user_id", "ada")), True)
    assert [it["type"] for it in found["touchpoints"]] == ["page", "identify", "track"]
    assert found["touchpoints"][2]["touchpoint"]["properties"] == {"revenue": 5.0, "price": 1.1}
    decided = [
        (it["change"]["target"], "retracted" in it["change"]) for it in found["stage_changes"]
    ]
    assert sorted(decided) == [
        ("acquisition", False),
        ("conversion", False),
        ("reach", False),
        ("reach", False),
        ("reach", True),
    ]
    assert (await client.get(f"{path}/export")).status_code == 403


async def test_an_export_tells_the_newest_traits_and_is_whole_over_many_pages(
    engine: Engine, client: Client
) -> None:
    await fold(
        engine,
        touchpoint(NOW - 3 * HOUR, user="u", kind="identify", traits={"plan": "free", "a": 1}),
        touchpoint(NOW - 2 * HOUR, user="u", kind="identify", traits={"plan": "pro"}),
        *(touchpoint(NOW - HOUR, user="u", event="Seen", message_id=f"{n}") for n in range(1200)),
    )

    found = await export(client, f"/v1/profiles/{of('user_id', 'u')}")

    assert found["traits"] == {"plan": "pro", "a": 1}
    names = [it["message_id"] for it in found["touchpoints"]]
    assert len(names) == len(set(names)) == 1202
    assert found["touchpoints"][-1]["at"] == to_rfc3339(NOW - HOUR)


async def test_somebody_without_touchpoints_of_their_own_is_exported_as_the_one_they_became(
    engine: Engine, client: Client
) -> None:
    await fold(engine, touchpoint(NOW - 3 * HOUR, anonymous="a", kind="page"))
    await fold(engine, touchpoint(NOW - 2 * HOUR, anonymous="a", user="u", kind="identify"))

    found = await export(client, f"/v1/profiles/{of('anonymous_id', 'a')}")

    assert found["profile"]["id"] == str(of("user_id", "u"))
    assert len(found["touchpoints"]) == 2


def cursor(place: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("", {"stage": "a\0b"}),
        ("", {"user_id": "\0"}),
        ("", {"identifier": "user_id:\0"}),
        ("", {"stage": "reach", "entered_from": "9999-12-31T23:59:59-14:00"}),
        ("", {"stage": "reach", "cursor": cursor([10**19, str(UUID(int=1))])}),
        ("", {"cursor": "ÿ"}),
        ("/{id}", {"as_of": "0001-01-01T00:00:00+14:00"}),
        ("/{id}/timeline", {"cursor": cursor([10**18, 1, "a", "0"])}),
        ("/{id}/timeline", {"cursor": cursor([0, 2**40, "a", "0"])}),
        ("/{id}/timeline", {"cursor": cursor([0, 1, "a\0", "0"])}),
        ("/{id}/touchpoints", {"source": "\0"}),
        ("/{id}/touchpoints", {"since": "0001-01-01T00:00:00+14:00"}),
        ("/{id}/touchpoints", {"cursor": cursor([0, "\0"])}),
        ("/{id}/identities", {"cursor": cursor(["\0", ""])}),
        ("/{id}/identities", {"limit": "0"}),
    ],
)
async def test_what_cannot_be_is_refused_and_never_a_defect(
    engine: Engine, client: Client, path: str, params: dict[str, str]
) -> None:
    await walk_in(engine)

    answer = await client.get(f"/v1/profiles{path.format(id=of('user_id', 'ada'))}", params)

    assert answer.status_code in {400, 422}
    assert answer.headers["content-type"] == "application/problem+json"
