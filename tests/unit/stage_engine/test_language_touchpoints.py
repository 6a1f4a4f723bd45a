"""What a touchpoint carries: tests, paths, counts of values, first, last and traits."""

from __future__ import annotations

import json

import pytest

from clm_stage_engine.core.fold import Touch
from tests.support.timelines import day, entered, having, lifecycle, run, touch


@pytest.mark.parametrize(
    ("test", "passes", "fails"),
    [
        ("pro", ["pro"], ["free", None, 7, ["pro"]]),
        ("[pro, 7]", ["pro", 7, 7.0], ["free", "7", True, None]),
        ("7", [7, 7.0], ["7", True]),
        ("true", [True], [1, "true"]),
        ("0.1", [0.1], [0.11, "0.1"]),
        ("{ne: pro}", ["free", None, 7], ["pro"]),
        ("{gt: 7}", [7.5, 8], [7, "8", None, True]),
        ("{gte: 7, lt: 9}", [7, 8.99], [6.99, 9]),
        ("{lte: '2026-02-01'}", ["2026-01-31", "2026-02-01"], ["2026-02-02", 3]),
        ("{contains: ro}", ["pro", ["ro", "x"]], ["free", ["pro"], {"ro": 1}]),
        ("{starts: pr}", ["pro"], ["Pro", ["pr"], None]),
        ("{exists: true}", ["", 0, False], [None]),
        ("{exists: false}", [None], ["", 0, False]),
        ("{matches: '^p.o$'}", ["pro"], ["pros", 7]),
        ("{matches: 'e+'}", ["free"], ["pro"]),
        ("{not: {starts: p}}", ["free", None], ["pro"]),
    ],
)
def test_a_predicate_compares_without_coercion(
    test: str, passes: list[object], fails: list[object]
) -> None:
    condition = f"{{event: A, where: {{properties.x: {test}}}}}"

    assert [it for it in passes if entered(condition, having("A", 0, x=it)) is None] == []
    assert [it for it in fails if entered(condition, having("A", 0, x=it)) is not None] == []


def test_a_path_leads_through_objects_and_with_a_star_through_lists() -> None:
    products = [{"sku": "a", "tags": ["x"]}, {"sku": "b", "tags": ["y", "z"]}]
    cart = having("A", 0, products=products, shipping={"city": "Bern"})

    assert entered("{event: A, where: {properties.shipping.city: Bern}}", cart) == 0
    assert entered("{event: A, where: {'properties.products[].sku': b}}", cart) == 0
    assert entered("{event: A, where: {properties.products.*.tags.*: z}}", cart) == 0
    assert entered("{event: A, where: {properties.products.*.sku: c}}", cart) is None
    assert entered("{event: A, where: {properties.products.sku: b}}", cart) is None


def test_a_body_that_is_no_json_carries_nothing() -> None:
    broken = Touch(day(0), "m", "track", "A", b'{"properties": {"x": ')

    assert entered("{event: A, where: {properties.x: {exists: true}}}", broken) is None
    assert entered("{event: A, where: {properties.x: {exists: false}}}", broken) == 0


def test_a_hostile_pattern_takes_no_time() -> None:
    condition = "{event: A, where: {properties.x: {matches: '(a+)+$'}}}"

    assert entered(condition, having("A", 0, x="a" * 50_000 + "b")) is None


def test_only_what_carries_it_is_counted() -> None:
    condition = "{count: A, where: {properties.x: {gte: 5}}, gte: 2}"

    assert entered(condition, *(having("A", at, x=at) for at in (1, 5, 3, 7))) == 7


def test_events_with_different_tests_are_one_choice() -> None:
    condition = "{count: [B, {event: A, where: {properties.x: 1}}], gte: 2}"

    assert entered(condition, having("A", 0, x=2), touch("B", 1), having("A", 2, x=1)) == 2


def test_pages_are_named_by_type_and_name() -> None:
    def page(name: str, at: float) -> Touch:
        body = json.dumps({"type": "page", "name": name}).encode()
        return Touch(day(at), f"{name}{at}", "page", None, body)

    assert entered('{event: "page:Pricing"}', page("Home", 0), page("Pricing", 1)) == 1
    assert entered('{count: "page:*", gte: 2}', page("Home", 0), page("Pricing", 1)) == 1
    assert entered('{event: "*"}', page("Home", 0), touch("X", 1)) == 1


def test_counting_starts_anew_after_what_ends_it() -> None:
    condition = "{count: A, gte: 3, since_last: B}"
    touches = [touch("A", 0), touch("A", 1), touch("B", 2), *(touch("A", it) for it in (3, 4, 5))]

    assert entered(condition, *touches) == 5


def test_different_values_are_told_apart_and_forgotten() -> None:
    condition = "{distinct: properties.x, of: A, gte: 3, within: 3d}"
    values = [(0, "a"), (1, "b"), (2, "a"), (4, 7), (4.5, 7.0), (5, "7"), (5.5, "b")]

    touches = [having("A", at, x=value) for at, value in values]

    assert entered(condition, *touches) == 5.5


def test_what_the_first_and_the_last_carried_is_remembered() -> None:
    touches = [touch("A", 0), having("A", 1, x="ad"), having("A", 2, x="mail"), touch("B", 3)]

    def is_known(which: str, value: str) -> bool:
        condition = f"{{all: [{{event: B}}, {{{which}: properties.x, of: A, eq: {value}}}]}}"
        return entered(condition, *touches) == 3

    assert is_known("first", "ad")
    assert is_known("last", "mail")
    assert not is_known("first", "mail")
    assert not is_known("last", "ad")


def test_a_value_within_a_window_is_forgotten_at_its_end() -> None:
    condition = "{last: properties.x, of: A, within: 2d, exists: false}"
    definition = lifecycle(
        "{from: a, to: b, when: {event: A}}", f"{{from: b, to: c, when: {condition}}}", stages="abc"
    )

    assert run(definition, having("A", 1, x=1), until=9)[-1] == (3, "c")


def test_time_since_is_measured_from_the_first_or_the_last() -> None:
    touches = [touch("A", 0), touch("A", 2)]

    assert entered("{since: A, gte: 3d}", *touches, until=9) == 5
    assert entered("{since: A, gte: 3d, which: first}", *touches, until=9) == 3
    assert entered("{since: A, gte: 3d}", touch("B", 0), until=9) is None


def identify(at: float, **traits: object) -> Touch:
    return touch(None, at, f"i{at}", kind="identify", traits=traits)


def test_the_last_word_about_a_trait_wins_by_event_time() -> None:
    condition = "{all: [{event: B}, {trait: plan, eq: pro}]}"
    known = [identify(0, plan="free"), identify(1, plan="pro"), identify(2, name="Ada")]

    assert entered(condition, *known, touch("B", 3)) == 3
    assert entered(condition, *reversed(known), touch("B", 3)) == 3
    assert entered(condition, *known, identify(2.5, plan=None), touch("B", 3)) is None
    assert entered(condition, *known, identify(2.5, plan="free"), touch("B", 3)) is None
    assert entered("{trait: plan, eq: pro}", *known) == 1


def test_a_trait_may_stand_in_the_context_alone() -> None:
    body = b'{"type": "identify", "context": {"traits": {"plan": "pro"}}}'

    told = Touch(day(1), "m", "identify", None, body)

    assert entered("{trait: plan, eq: pro}", told) == 1
