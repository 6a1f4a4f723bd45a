"""Tracking plans: what is held against which schema, and what becomes of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from clm_common.contracts.touchpoint import TouchpointType
from clm_ingest.core.admission import Subject
from clm_ingest.core.glimpse import Fault
from clm_ingest.core.inspecting import Inspected, inspect
from clm_ingest.core.judging import Plan
from clm_ingest.core.plan import TrackingPlan

Json = dict[str, Any]  # Any: a JSON document

ORDER: Json = {
    "type": "object",
    "properties": {
        "revenue": {"type": "number", "minimum": 0},
        "currency": {"enum": ["EUR", "USD"]},
        "products": {
            "type": "array",
            "items": {"type": "object", "properties": {"sku": {"type": "string"}}},
        },
    },
    "required": ["revenue"],
}


def plan_of(mode: str = "quarantine", unknown: str = "allow", *events: Json) -> Plan:
    planned = events or ({"event": "Order Completed", "schema": ORDER},)
    return Plan(TrackingPlan.model_validate({"mode": mode, "unknown": unknown, "events": planned}))


def look(plan: Plan, event: Json, kind: TouchpointType = "track") -> Inspected:
    subject = Subject(kind, event.get("event"), "m-1")
    return inspect(json.dumps(event).encode(), subject, None, plan)


def order(properties: object, **more: object) -> Json:
    return {"event": "Order Completed", "properties": properties, **more}


def published(found: Inspected) -> Json:
    assert isinstance(found.verdict, bytes)
    event: Json = json.loads(found.verdict)
    return event


def test_an_event_that_fits_keeps_its_bytes() -> None:
    raw = b'{"event":"Order Completed", "properties":{ "revenue": 1.50 }}'

    found = inspect(raw, Subject("track", "Order Completed", "m"), None, plan_of())

    assert found.verdict is raw
    assert found.judgement is None


def test_an_event_that_violates_its_schema_goes_to_the_quarantine_with_path_and_rule() -> None:
    found = look(plan_of(), order({"revenue": "a lot", "products": [{"sku": "a"}, {"sku": 7}]}))

    assert isinstance(found.verdict, Fault)
    assert (found.verdict.code, found.verdict.message_id) == ("plan.violation", "m-1")
    assert "/properties/revenue" in found.verdict.detail
    assert "/properties/products/*/sku" in found.verdict.detail
    assert "(rule /properties/revenue/type)" in found.verdict.detail


def test_no_value_of_an_event_stands_in_what_is_said_of_it() -> None:
    secret = "jane.doe@example.com"
    event = order({"revenue": secret, "currency": secret, "products": secret})

    for mode in ("observe", "quarantine", "drop"):
        judgement = look(plan_of(mode), event).judgement
        assert judgement is not None
        assert secret not in repr(judgement)


def test_in_mode_observe_it_is_counted_and_published_as_it_is() -> None:
    event = order({"currency": "GBP"})

    found = look(plan_of("observe"), event)

    assert published(found) == event
    assert found.judgement is not None
    assert {(it.path, it.rule) for it in found.judgement.violations} == {
        ("/properties", "/required"),
        ("/properties/currency", "/properties/currency/enum"),
    }


def test_in_mode_drop_what_violates_or_is_unknown_is_removed_and_named() -> None:
    event = order(
        {"revenue": 5, "currency": "GBP", "coupon": "X", "products": [{"sku": 1}]},
        context={"locale": "en", "protocols": {"event_version": 1}},
    )

    after = published(look(plan_of("drop"), event))

    assert after["properties"] == {"revenue": 5}
    assert after["context"] == {
        "locale": "en",
        "protocols": {"event_version": 1, "omitted": ["currency", "coupon", "products"]},
    }


def test_in_mode_drop_a_schema_that_allows_more_keeps_more() -> None:
    schema = {**ORDER, "additionalProperties": True}
    plan = plan_of("drop", "allow", {"event": "Order Completed", "schema": schema})

    found = look(plan, order({"revenue": 5, "coupon": "X"}))

    assert found.judgement is None
    assert published(found)["properties"] == {"revenue": 5, "coupon": "X"}


def test_in_mode_drop_a_missing_property_cannot_be_mended_and_is_counted() -> None:
    found = look(plan_of("drop"), order({"currency": "EUR"}))

    assert published(found)["properties"] == {"currency": "EUR"}
    assert found.judgement is not None
    assert found.judgement.omitted == []


VERSIONS = (
    {"event": "A", "version": 1, "schema": {"required": ["one"]}},
    {"event": "A", "version": 10, "schema": {"required": ["ten"]}},
    {"event": "A", "version": 2, "schema": {"required": ["two"]}},
)


@pytest.mark.parametrize(
    ("protocols", "version"),
    [
        (None, 10),
        ({}, 10),
        ("text", 10),
        ({"event_version": 1}, 1),
        ({"event_version": "2"}, 2),
        ({"version": 2}, 2),
        ({"event_version": True}, 10),
        ({"event_version": "new"}, 10),
        ({"event_version": 3}, 0),
    ],
)
def test_an_event_is_held_against_the_version_it_names_or_the_newest(
    protocols: object, version: int
) -> None:
    event = {"event": "A", "context": {"protocols": protocols}}

    judgement = look(plan_of("observe", "allow", *VERSIONS), event).judgement

    assert judgement is not None
    assert judgement.version == version


@pytest.mark.parametrize(("unknown", "quarantined"), [("allow", False), ("quarantine", True)])
def test_a_track_call_that_the_plan_does_not_know_is_counted_or_quarantined(
    unknown: str, *, quarantined: bool
) -> None:
    found = look(plan_of("observe", unknown), {"event": "Secret Sale"})

    assert found.judgement is not None
    assert found.judgement.version == 0
    assert isinstance(found.verdict, Fault) is quarantined
    if isinstance(found.verdict, Fault):
        assert found.verdict.code == "plan.unknown_event"


@pytest.mark.parametrize("kind", ["page", "screen", "identify", "group", "alias"])
def test_other_calls_are_held_against_the_plan_only_if_it_names_them(
    kind: TouchpointType,
) -> None:
    assert look(plan_of("quarantine", "quarantine"), {"name": "Home"}, kind).judgement is None


@pytest.mark.parametrize(
    "event",
    [
        {"traits": {"plan": "gold"}},
        {"context": {"traits": {"plan": "gold"}}},
    ],
)
def test_traits_are_found_where_sdks_put_them(event: Json) -> None:
    schema = {"properties": {"plan": {"enum": ["free", "pro"]}}}
    plan = plan_of("drop", "allow", {"type": "identify", "schema": schema})

    after = published(look(plan, event, "identify"))

    assert after["context"]["protocols"]["omitted"] == ["plan"]
    assert "gold" not in json.dumps(after)


@pytest.mark.parametrize("properties", [None, [], "text", 7])
def test_properties_that_are_none_are_judged_too(properties: object) -> None:
    found = look(plan_of(), order(properties))

    assert isinstance(found.verdict, Fault)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    ),
    st.sampled_from(["observe", "quarantine", "drop"]),
)
def test_whatever_an_event_holds_it_is_judged(properties: object, mode: str) -> None:
    found = look(plan_of(mode), order(properties))

    if found.judgement is not None:
        for violation in found.judgement.violations:
            assert "\x00" not in violation.path
            violation.path.encode()


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=6))
def test_in_mode_drop_what_is_left_violates_nothing_but_what_is_missing(
    properties: Json,
) -> None:
    plan = plan_of("drop")

    after = published(look(plan, order(properties)))
    again = look(plan, after).judgement

    assert again is None or {it.rule for it in again.violations} == {"/required"}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"events": [{"event": "A", "schema": {"type": "nonsense"}}]}, "no schema"),
        ({"events": [{"event": "A", "schema": {"$ref": "https://example.com/x"}}]}, "no schema"),
        ({"events": [{"event": "A", "schema": {"$ref": "file:///etc/passwd"}}]}, "no schema"),
        ({"events": [{"event": "A", "schema": {"pattern": "(?=a)b"}}]}, "no schema"),
        ({"events": [{"event": "A", "schema": {"description": "x" * 70_000}}]}, "bytes"),
        ({"events": [{"event": "A", "schema": {}}] * 2}, "twice"),
        ({"events": [{"schema": {}}]}, "needs `event`"),
        ({"events": [{"type": "page", "event": "A", "schema": {}}]}, "needs `event`"),
        ({"events": [{"type": "alias", "schema": {}}]}, "Input should be"),
        ({"mode": "delete"}, "Input should be"),
        ({"modes": "drop"}, "Extra inputs"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_with_the_reason(wrong: Json, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        TrackingPlan.model_validate(wrong)


def test_a_schema_that_is_nested_without_end_is_refused() -> None:
    schema: Json = {}
    for _ in range(5_000):
        schema = {"properties": {"a": schema}}

    with pytest.raises(ValidationError, match="levels deep"):
        TrackingPlan.model_validate({"events": [{"event": "A", "schema": schema}]})


def test_a_pattern_that_would_take_for_ever_does_not() -> None:
    schema = {"properties": {"a": {"pattern": "^(a+)+$"}}}
    plan = plan_of("observe", "allow", {"event": "Order Completed", "schema": schema})

    found = look(plan, order({"a": "a" * 50_000 + "!"}))

    assert found.judgement is not None
