"""Metrics' API over HTTP, on a real PostgreSQL with a river that was handled before."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

import pytest

from clm_common.store.database import Database
from clm_metrics.api import make_app
from clm_metrics.core.calendar import Zones
from clm_metrics.store import SCHEMA
from tests.support.asking import Client, Json, client_of
from tests.support.measuring import board, book
from tests.support.river import path

RIVER = [
    *path(
        "ada",
        ("2026-11-10T10:00:00Z", "reach"),
        ("2026-11-10T11:00:00Z", "acquisition"),
        ("2026-11-21T10:00:00Z", "conversion"),
    ),
    *path("bob", ("2026-11-10T10:00:00Z", "reach"), ("2026-11-22T10:00:00Z", "acquisition")),
    *path("cid", ("2026-11-20T10:00:00Z", "reach")),
    *path("dan", ("2026-01-01T10:00:00Z", "reach"), ("2026-01-02T10:00:00Z", "conversion")),
    *path("eve", ("2026-11-22T10:00:00Z", "awareness"), lifecycle="awareness-5"),
    *path("mallory", ("2026-11-22T10:00:00Z", "reach"), workspace="other"),
]
"""What the clock (2026-11-22T12:00Z) looks back on."""


@pytest.fixture
async def database(metrics_url: str) -> AsyncGenerator[Database]:
    async with Database(metrics_url, schema=SCHEMA, name="test") as opened:
        await book(opened, RIVER)
        yield opened


def client_on(database: Database, order: Mapping[str, tuple[str, ...]] | None = None) -> Client:
    figures = board(database, zones=Zones("Asia/Tokyo"), order=order)
    return client_of(
        lambda verifier: make_app(figures, verifier), scope="metrics:read", workspace="acme"
    )


@pytest.fixture
def client(database: Database) -> Client:
    return client_on(database)


async def test_the_funnel_shows_people_entries_and_conversion_in_order(client: Client) -> None:
    found = await client.ask("/v1/stages", lifecycle="reach")

    assert found["time_zone"] == "UTC"
    assert found["today"] == "2026-11-22"
    (funnel,) = found["lifecycles"]
    assert [(each["stage"], each["people"], each["reached"]) for each in funnel["stages"]] == [
        ("reach", 1, 4),
        ("acquisition", 1, 2),
        ("conversion", 2, 2),
    ]
    assert [each["entries"] for each in funnel["stages"]] == [
        {"today": 0, "last_7_days": 1, "ever": 4},
        {"today": 1, "last_7_days": 1, "ever": 2},
        {"today": 0, "last_7_days": 1, "ever": 2},
    ]
    assert [each["from_first"] for each in funnel["stages"]] == [
        {"value": 1.0, "numerator": 4, "denominator": 4},
        {"value": 0.5, "numerator": 2, "denominator": 4},
        {"value": 0.5, "numerator": 2, "denominator": 4},
    ]
    assert funnel["stages"][2]["from_previous"] == {
        "value": 1.0,
        "numerator": 2,
        "denominator": 2,
    }


async def test_without_a_filter_every_lifecycle_of_the_workspace_is_shown(client: Client) -> None:
    found = await client.ask("/v1/stages")

    assert [each["lifecycle"] for each in found["lifecycles"]] == ["awareness-5", "reach"]


async def figures_of(database: Database, main: str, workspace: str) -> Json:
    figures = board(database, main=main)
    client = client_of(
        lambda verifier: make_app(figures, verifier), scope="metrics:read", workspace=workspace
    )
    return await client.ask("/v1/kpis/people-per-stage")


async def test_figures_are_of_the_main_lifecycle_where_none_is_named(database: Database) -> None:
    found = await figures_of(database, "awareness-5", "acme")

    assert found["lifecycle"] == "awareness-5"
    assert [each["stage"] for each in found["series"]] == ["awareness"]


async def test_figures_are_of_the_only_lifecycle_that_the_river_tells_of(
    database: Database,
) -> None:
    assert (await figures_of(database, "saas", "other"))["lifecycle"] == "reach"
    assert (await figures_of(database, "saas", "nobody"))["lifecycle"] == "saas"


async def test_a_configured_order_lists_stages_that_nobody_has_reached(database: Database) -> None:
    order = {"reach": ("reach", "acquisition", "conversion", "retention")}

    found = await client_on(database, order).ask("/v1/stages", lifecycle="reach")

    last = found["lifecycles"][0]["stages"][-1]
    assert (last["stage"], last["people"], last["reached"]) == ("retention", 0, 0)
    assert last["from_first"] == {"value": 0.0, "numerator": 0, "denominator": 4}


async def test_a_workspace_sees_nothing_of_another_one(client: Client) -> None:
    other = (await client.get("/v1/stages", workspace="other")).json()
    nobody = (await client.get("/v1/stages", workspace="nobody")).json()

    assert [each["people"] for each in other["lifecycles"][0]["stages"]] == [1]
    assert nobody["lifecycles"] == []
    assert nobody["time_zone"] == "Asia/Tokyo"


async def test_people_per_stage_is_a_level_at_the_end_of_each_day(client: Client) -> None:
    found = await client.ask(
        "/v1/kpis/people-per-stage", from_="2026-11-09", to="2026-11-12", stage="reach"
    )

    (reach,) = found["series"]
    assert [point["value"] for point in reach["points"]] == [0, 1, 1]
    assert reach["total"] == {"value": 1}
    assert reach["points"][0] == {
        "from": "2026-11-09",
        "to": "2026-11-10",
        "state": "complete",
        "value": 0,
    }


async def test_people_per_stage_ends_with_the_people_now(client: Client) -> None:
    found = await client.ask("/v1/kpis/people-per-stage")

    assert (found["from"], found["to"], found["grain"]) == ("2026-10-24", "2026-11-23", "day")
    assert {each["stage"]: each["total"]["value"] for each in found["series"]} == {
        "reach": 1,
        "acquisition": 1,
        "conversion": 2,
    }
    assert {each["points"][-1]["state"] for each in found["series"]} == {"running"}


async def test_entries_are_counted_by_week_and_cut_weeks_are_flagged(client: Client) -> None:
    found = await client.ask(
        "/v1/kpis/stage-entries",
        from_="2026-11-10",
        to="2026-11-30",
        grain="week",
        stage="acquisition",
    )

    (acquisition,) = found["series"]
    assert [(each["from"], each["state"], each["value"]) for each in acquisition["points"]] == [
        ("2026-11-10", "cut", 1),
        ("2026-11-16", "running", 1),
        ("2026-11-23", "future", None),
    ]
    assert acquisition["total"] == {"value": 2}


async def test_conversion_follows_the_cohort_that_appeared_in_a_period(client: Client) -> None:
    found = await client.ask(
        "/v1/kpis/stage-conversion",
        from_="2026-11-01",
        to="2026-12-01",
        grain="month",
        base="previous",
    )

    totals = {each["stage"]: each["total"] for each in found["series"]}
    assert totals == {
        "reach": {"value": 1.0, "numerator": 3, "denominator": 3},
        "acquisition": {"value": 2 / 3, "numerator": 2, "denominator": 3},
        "conversion": {"value": 0.5, "numerator": 1, "denominator": 2},
    }


async def test_a_cohort_of_nobody_has_no_conversion(client: Client) -> None:
    found = await client.ask("/v1/kpis/stage-conversion", from_="2020-01-01", to="2020-01-02")

    assert {each["total"]["value"] for each in found["series"]} == {None}
    assert found["series"][0]["points"][0]["denominator"] == 0


async def test_the_catalogue_says_what_each_kpi_is(client: Client) -> None:
    found = await client.ask("/v1/kpis")

    by_key = {each["key"]: each for each in found["kpis"]}
    assert set(by_key) >= {"people-per-stage", "stage-entries", "stage-conversion"}
    assert all(each["title"] and each["unit"] and each["formula"] for each in by_key.values())


@pytest.mark.parametrize(
    ("url", "params", "status", "slug", "says"),
    [
        ("/v1/stages", {"lifecycle": "reech"}, 404, "lifecycle.unknown", "awareness-5, reach"),
        ("/v1/stages", {"livecycle": "reach"}, 422, "parameter.unknown", "'livecycle'"),
        ("/v1/kpis/nps", {}, 404, "kpi.unknown", "stage-entries"),
        ("/v1/kpis/stage-entries", {"stage": "rich"}, 404, "stage.unknown", "acquisition"),
        ("/v1/kpis/stage-entries", {"base": "first"}, 422, "parameter.unknown", "'base'"),
        ("/v1/kpis/stage-entries", {"grain": "hour"}, 422, "request.invalid", "grain"),
        ("/v1/kpis/stage-entries", {"from": "yesterday"}, 422, "request.invalid", "from"),
        (
            "/v1/kpis/stage-entries",
            {"from": "2026-11-02", "to": "2026-11-02"},
            422,
            "range.empty",
            "2026-11-02",
        ),
        ("/v1/kpis/stage-entries", {"from": "2000-01-01"}, 422, "range.too_long", "1100"),
        ("/v1/kpis/stage-entries", {"from": "0001-01-01"}, 422, "range.out_of_bounds", "1900"),
        ("/v1/kpis/stage-entries", {"to": "9999-12-31"}, 422, "range.out_of_bounds", "to"),
    ],
)
async def test_a_question_that_cannot_be_answered_is_refused_by_name(
    client: Client, url: str, params: dict[str, str], status: int, slug: str, says: str
) -> None:
    found_status, found_slug, text = await client.refusal(url, **params)

    assert (found_status, found_slug) == (status, slug)
    assert says in text


async def test_only_a_token_that_may_read_metrics_gets_an_answer(client: Client) -> None:
    assert (await client.get("/v1/stages", scope="profiles:read")).status_code == 403
    assert (await client.get("/v1/stages", scope="admin")).status_code == 200


async def test_days_are_those_of_the_time_zone_that_figures_are_kept_by(
    database: Database,
) -> None:
    late = path("tom", ("2026-11-22T16:00:00Z", "reach"), workspace="tokyo")
    await book(database, late, zones=Zones("Asia/Tokyo"))
    client = client_on(database)

    answer = await client.get("/v1/kpis/stage-entries", {"to": "2026-11-24"}, workspace="tokyo")

    found = answer.json()
    counts = {each["from"]: each["value"] for each in found["series"][0]["points"]}
    assert found["time_zone"] == "Asia/Tokyo"
    assert counts["2026-11-22"] == 0
    assert counts["2026-11-23"] is None  # it is still the 22nd in Tokyo
    assert found["series"][0]["total"]["value"] == 1
