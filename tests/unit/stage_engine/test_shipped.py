"""The lifecycles that ship besides `reach`: people walk through each of them, there and back."""

from __future__ import annotations

import json

import pytest

from clm_stage_engine import definitions
from clm_stage_engine.core.fold import Touch
from tests.support.timelines import day, run, touch

SHIPPED = definitions.load()


def bought(at: float, revenue: float = 10) -> Touch:
    return touch("Order Completed", at, properties={"revenue": revenue})


def page(name: str, at: float) -> Touch:
    body = json.dumps({"type": "page", "name": name}).encode()
    return Touch(day(at), f"{name}@{at}", "page", None, body)


def test_every_preset_is_there_under_its_key() -> None:
    assert list(SHIPPED) == ["awareness-5", "awareness-6", "ecommerce", "reach", "saas"]


@pytest.mark.parametrize(
    ("key", "stages"),
    [
        ("reach", ["Reach", "Acquisition", "Conversion", "Retention", "Loyalty"]),
        (
            "awareness-6",
            [
                "Awareness",
                "Engagement",
                "Evaluation",
                "Purchase",
                "Post-purchase experience and support",
                "Advocacy and retention",
            ],
        ),
        ("awareness-5", ["Awareness", "Consideration", "Purchase", "Retention", "Advocacy"]),
    ],
)
def test_a_stage_model_has_the_stages_that_are_taught(key: str, stages: list[str]) -> None:
    assert [it.title for it in SHIPPED[key].stages] == stages


@pytest.mark.parametrize("key", sorted(SHIPPED))
def test_a_preset_says_what_each_stage_means(key: str) -> None:
    assert all(it.title and it.description for it in SHIPPED[key].stages)


def test_six_stages_are_walked_from_the_first_page_to_the_advocate_and_back() -> None:
    walk = [
        page("Home", 0),
        touch("Newsletter Subscribed", 1),
        touch("Product Added", 2),
        bought(3),
        touch("Order Delivered", 5),
        touch("Product Reviewed", 9),
    ]

    assert run(SHIPPED["awareness-6"], *walk, until=400) == [
        (0, "awareness"),
        (1, "engagement"),
        (2, "evaluation"),
        (3, "purchase"),
        (5, "post-purchase"),
        (9, "advocacy"),
        (9 + 365, "engagement"),
    ]


def test_six_stages_are_skipped_by_who_buys_at_once_and_cooled_down_from() -> None:
    lifecycle = SHIPPED["awareness-6"]

    assert run(lifecycle, bought(0), until=8) == [
        (0, "awareness"),
        (0, "purchase"),
        (7, "post-purchase"),
    ]
    assert run(lifecycle, touch("Product Added", 0), until=40)[-1] == (30, "engagement")
    returned = [bought(0), bought(500)]
    assert run(lifecycle, *returned, until=500)[-2:] == [(7 + 365, "engagement"), (500, "advocacy")]


def test_five_stages_are_walked_lapsed_from_and_returned_to() -> None:
    walk = [
        page("Home", 0),
        touch("Product Viewed", 1),
        touch("Product Viewed", 2),
        bought(3),
        bought(20),
        touch("Referral Made", 30),
        bought(300),
    ]

    assert run(SHIPPED["awareness-5"], *walk, until=300) == [
        (0, "awareness"),
        (2, "consideration"),
        (3, "purchase"),
        (20, "retention"),
        (30, "advocacy"),
        (210, "consideration"),
        (270, "awareness"),
        (300, "purchase"),
    ]


def test_a_lead_of_a_subscription_is_scored_and_tries_and_pays() -> None:
    browsing = [page("Pricing", at) for at in (0, 1, 2)]
    walk = [*browsing, touch("Trial Started", 3), touch("Subscription Started", 10)]

    assert run(SHIPPED["saas"], *walk, until=10) == [
        (0, "visitor"),
        (2, "lead"),
        (3, "trial"),
        (10, "active"),
    ]


def test_an_address_that_is_none_makes_no_lead() -> None:
    told = touch(None, 0, kind="identify", traits={"email": "unknown"})

    assert run(SHIPPED["saas"], told) == [(0, "visitor")]


def test_who_uses_a_subscription_every_week_is_a_champion_until_they_go_quiet() -> None:
    used = [
        touch(f"Feature {number % 5} Used", 1 + week * 7 + number)
        for week in range(5)
        for number in range(5)
    ]
    walk = [touch("Subscription Started", 0), *used]

    timeline = run(SHIPPED["saas"], *walk, touch("Subscription Cancelled", 90), until=90)

    assert [stage for _, stage in timeline] == [
        "visitor",
        "active",
        "champion",
        "at-risk",
        "churned",
    ]
    assert timeline[3][0] == used_last(walk) + 21


def used_last(walk: list[Touch]) -> float:
    return (max(it.time for it in walk) - day(0)) / (day(1) - day(0))


def test_a_trial_that_leads_nowhere_ends() -> None:
    assert run(SHIPPED["saas"], touch("Trial Started", 0), until=50)[-1] == (45, "lead")


def test_a_cart_is_abandoned_in_the_customers_daytime() -> None:
    body = b'{"type": "track", "event": "Product Added", "context": {"timezone": "Asia/Tokyo"}}'
    added = Touch(day(0.5), "m", "track", "Product Added", body)  # noon UTC, 21:00 in Tokyo

    timeline = run(SHIPPED["ecommerce"], added, until=9)

    assert timeline == [(0.5, "visitor"), (0.5, "shopper"), (1.0, "abandoned")]


def test_a_shops_customer_becomes_vip_spends_less_lapses_and_is_won_back() -> None:
    walk = [bought(0), bought(10, 400), bought(20, 700), bought(500, 20)]

    assert run(SHIPPED["ecommerce"], *walk, until=500) == [
        (0, "visitor"),
        (0, "first-time-buyer"),
        (10, "repeat-buyer"),
        (20, "vip"),
        (200, "lapsed"),
        (500, "vip"),
    ]


def test_a_vip_stays_one_until_well_below_the_bound() -> None:
    often = [bought(at, 100) for at in range(0, 400, 30)]

    timeline = run(SHIPPED["ecommerce"], *often, until=390)

    assert [stage for _, stage in timeline] == [
        "visitor",
        "first-time-buyer",
        "repeat-buyer",
        "vip",
    ]
