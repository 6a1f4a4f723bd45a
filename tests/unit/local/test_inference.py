"""The proposal of a tracking plan from what was seen."""

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from clm_ingest.core.admission import Subject
from clm_ingest.core.inspecting import inspect
from clm_ingest.core.judging import Plan
from clm_ingest.core.plan import TrackingPlan
from clm_local.inference import Inference, is_personal

Json = dict[str, Any]  # Any: a JSON document


def plan_of(*events: Json) -> Json:
    learnt = Inference()
    for number, event in enumerate(events):
        learnt.learn(event, f"customer {number}")
    return learnt.plan()


def schema_of(*properties: Json) -> Json:
    plan = plan_of(*({"type": "track", "event": "A", "properties": it} for it in properties))
    schema: Json = plan["events"][0]["schema"]
    return schema


def test_types_are_those_that_were_seen_and_what_was_always_there_is_required() -> None:
    schema = schema_of(
        *[{"price": n / 2 if n else 1, "new": n > 3} for n in range(10)], {"price": 7}
    )

    assert schema["properties"] == {"new": {"type": "boolean"}, "price": {"type": "number"}}
    assert schema["required"] == ["price"]


def test_few_words_that_customers_share_become_an_enum() -> None:
    schema = schema_of(*[{"plan": ("free", "pro")[n % 2]} for n in range(40)])

    assert schema["properties"]["plan"] == {"type": "string", "enum": ["free", "pro"]}


def test_a_word_of_few_customers_is_in_no_enum() -> None:
    learnt = Inference()
    for number in range(100):
        word = "rare" if number == 7 else "common"
        event = {"type": "track", "event": "A", "properties": {"kind": word}}
        learnt.learn(event, f"customer {number}")

    assert "rare" not in json.dumps(learnt.plan())


def test_formats_are_seen() -> None:
    one = {
        "at": "2026-11-25T10:00:00Z",
        "day": "2026-11-25",
        "to": "jane@example.com",
        "page": "https://shop.example.com/a",
        "ref": "6f1d2f0a-6e1c-5c1e-9b7e-0a4d8a5c3b11",
    }

    found = schema_of(*[one] * 10)["properties"]

    assert {name: it["format"] for name, it in found.items()} == {
        "at": "date-time", "day": "date", "to": "email", "page": "uri", "ref": "uuid",
    }  # fmt: skip


def test_likely_personal_data_is_never_in_the_proposal() -> None:
    person = {
        "firstName": "Jane", "email": "jane@example.com", "city": "Berlin", "phone": "+49301234567",
        "searchQuery": "pregnancy", "nested": {"last_name": "Doe"}, "jane@example.com": 1,
        "4711-0815": True,
    }  # fmt: skip
    events: list[Json] = [{"type": "identify", "traits": person}] * 50
    events += [{"type": "track", "event": "Mail to jane@example.com", "properties": {}}] * 50

    text = json.dumps(plan_of(*events))

    for secret in ("Jane", "jane@", "Berlin", "4930", "pregnancy", "Doe", "4711"):
        assert secret not in text
    assert "firstName" in text


def test_names_are_read_in_all_spellings() -> None:
    for name in ("email", "userEmail", "first_name", "Last Name", "IPAddress", "billing.street"):
        assert is_personal(name)
    for name in ("price", "currency", "tier", "shipping_method", "zipper_color"):
        assert not is_personal(name)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["a", "b", "2026-01-01"])
    | st.text(max_size=8)
    | st.emails()
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(st.sampled_from("abcdé"), VALUES, max_size=4), max_size=12))
@example([{"a": "0@A.XN--30RR7Y"}])
@example([{"a": "a..b@shop.example"}])
@example([{"a": "a@-shop.example"}])
@example([{"a": f"{'a' * 65}@shop.example"}])
@example([{"a": f"a@{'.'.join(['b' * 60] * 5)}"}])
def test_every_event_that_was_seen_passes_the_proposed_plan(seen: list[Json]) -> None:
    events: list[Json] = [{"type": "track", "event": "A", "properties": it} for it in seen]

    plan = Plan(TrackingPlan.model_validate(plan_of(*events)))

    for event in events:
        found = inspect(json.dumps(event).encode(), Subject("track", "A", "m"), None, plan)
        assert found.judgement is None
