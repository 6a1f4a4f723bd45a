"""Which values count as identifiers, in which form, and which a call names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_common.errors import DefinitionError
from clm_stage_engine.core.identifiers import Identifiers, Said
from clm_stage_engine.identity_file import load_identifiers, shipped

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def said(**call: object) -> list[Said]:
    return shipped().said("identify", json.dumps(call).encode())


@pytest.mark.parametrize(
    ("kind", "written", "form"),
    [
        ("email", "  Ada@Example.COM ", "ada@example.com"),
        ("email", "ada", None),
        ("email", "@example.com", None),
        ("email", "a da@example.com", None),
        ("phone", "+49 (30) 123-456", "+4930123456"),
        ("phone", "0049 30 123456", "+4930123456"),
        ("phone", "030/123456", "030123456"),
        ("phone", "12", None),
        ("phone", "call me", None),
        ("crm", " A-7 ", "A-7"),
        ("crm", "x" * 321, None),
        ("crm", "a\0b", None),
    ],
)
def test_a_value_is_brought_into_one_form_without_a_guess(
    kind: str, written: str, form: str | None
) -> None:
    assert shipped().normal(kind, written) == form


@pytest.mark.parametrize(
    "value", ["null", "NULL", "Undefined", "0", "[object Object]", "None", " \t"]
)
def test_what_stands_for_nobody_is_no_id_of_anybody(value: str) -> None:
    assert shipped().user_blocked(value)
    assert shipped().anonymous_blocked(value)


def test_an_id_that_only_contains_such_a_word_is_one() -> None:
    assert not shipped().user_blocked("null-island")
    assert not shipped().anonymous_blocked("00")


def test_traits_are_read_at_the_top_and_in_the_context_and_the_top_holds() -> None:
    ada, bob = {"email": "ada@x.example"}, {"email": "bob@x.example", "phone": "+4930123456"}

    assert said(traits=ada) == [Said("email", "ada@x.example")]
    assert said(context={"traits": ada}) == [Said("email", "ada@x.example")]
    assert said(traits=ada, context={"traits": bob}) == [
        Said("email", "ada@x.example"),
        Said("phone", "+4930123456"),
    ]


@pytest.mark.parametrize("name", ["externalIds", "externalId"])
def test_ids_of_other_systems_are_named_by_their_type(name: str) -> None:
    listed = [{"type": "crm", "id": 7}, {"type": "user_id", "id": "x"}, {"id": "y"}, 3]

    assert said(context={name: listed}) == [Said("crm", "7")]


def test_a_blocked_attribute_is_told_without_its_value() -> None:
    assert said(traits={"email": "Test@test.com", "phone": "0000000"}) == [
        Said("email", None),
        Said("phone", None),
    ]
    assert said(traits={"email": None}) == []


@given(st.dictionaries(st.sampled_from(["traits", "context", "x"]), JSON))
def test_whatever_a_call_holds_is_never_a_defect(call: dict[str, object]) -> None:
    assert len(said(**call)) <= 50


def test_the_group_of_a_group_call_is_named_and_its_traits_are_nobody_s() -> None:
    call = json.dumps({"groupId": 7, "traits": {"email": "office@x.example"}}).encode()

    assert shipped().said("group", call) == [Said("group_id", "7")]
    assert shipped().said("group", b"{}") == []
    assert shipped().said("identify", b'{"groupId": "acme"}') == []
    assert shipped().said("track", call) == []


def of(tmp_path: Path, text: str) -> Identifiers:
    file = tmp_path / "identity.yaml"
    file.write_text(f"key: identity\n{text}")
    return load_identifiers(file)


@pytest.mark.parametrize(
    ("country", "written", "form"),
    [
        ('{code: "49"}', "030/123 456", "+4930123456"),
        ('{code: "49"}', "123456", "123456"),
        ('{code: "49"}', "0044 20 7946 0018", "+442079460018"),
        ('{code: "49"}', "+1 415 555 2671", "+14155552671"),
        ('{code: "1", trunk: "1", abroad: "011"}', "(415) 555-2671", "+14155552671"),
        ('{code: "1", trunk: "1", abroad: "011"}', "1 415 555 2671", "+14155552671"),
        ('{code: "1", trunk: "1", abroad: "011"}', "011 44 20 7946 0018", "+442079460018"),
        ('{code: "39", trunk: ""}', "06 698 12345", "+390669812345"),
        ('{code: "49"}', "0" + "9" * 15, None),
    ],
)
def test_a_number_of_the_default_country_becomes_international(
    tmp_path: Path, country: str, written: str, form: str | None
) -> None:
    identifiers = of(tmp_path, f"country: {country}\nkinds: {{phone: {{form: phone}}}}\n")

    assert identifiers.normal("phone", written) == form


def test_a_kind_says_whom_it_joins_how_many_and_what_is_stronger(tmp_path: Path) -> None:
    lines = "{user_id: {limit: 3}, crm: {priority: 2, joins: true}, phone: {priority: 4}}"

    found = of(tmp_path, f"kinds: {lines}\n")

    assert found.joining == {"crm"}
    assert found.bounds.limits == {"user_id": 3, "crm": 20}
    assert found.bounds.priorities == {"user_id": 1, "crm": 2, "anonymous_id": 9}


def test_ids_that_join_nobody_leave_everybody_by_themselves(tmp_path: Path) -> None:
    found = of(tmp_path, "kinds: {user_id: {joins: false}, anonymous_id: {joins: false}}\n")

    assert found.bounds.limits == {"user_id": 1, "anonymous_id": 0}


def test_a_group_can_join_nobody(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="group_id cannot join"):
        of(tmp_path, "kinds: {group_id: {joins: true}}\n")


def test_what_a_pattern_finds_is_blocked(tmp_path: Path) -> None:
    found = of(tmp_path, "kinds: {user_id: {blocked: {patterns: ['(?i)^test-', '^0+$']}}}\n")

    assert [found.user_blocked(it) for it in ("TEST-7", "000", "latest-7")] == [True, True, False]


def test_a_file_that_cannot_be_right_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "identity.yaml"
    file.write_text("key: identity\nkinds:\n  email:\n    blocked:\n      patterns: ['(']\n")

    with pytest.raises(DefinitionError, match=r"identity\.yaml:5"):
        load_identifiers(file)
