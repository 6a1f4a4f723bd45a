"""Whatever stands in a definition: it is read, or refused with file and line; nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clm_common.errors import DefinitionError
from clm_stage_engine import definitions

WORDS = sorted(
    {
        word
        for file in definitions.SHIPPED.glob("*.yaml")
        for word in re.findall(r"[\w*.-]+", file.read_text("utf-8"))
        if len(word) < 20
    }
    | {"regularly", "sequence", "trait", "since", "first", "last", "stopped", "restarted", "not"}
)
scalars = (
    st.sampled_from(WORDS) | st.integers(-3, 2000) | st.none() | st.booleans() | st.text(max_size=4)
)
values = st.recursive(
    scalars | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4)
    ),
    max_leaves=12,
)
fuzzing = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def survives(text: str) -> None:
    """Expect that a text is read or refused, and that each line of a refusal says where."""
    try:
        definitions.parse(text, "made-up.yaml")
    except DefinitionError as error:
        lines = str(error).split("\n")
        assert re.match(r"made-up\.yaml:\d+: .", lines[0])


@fuzzing
@given(st.text(max_size=80) | st.text("{}[]:,&*!|>-'\"#%@`\n \tab1", max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    survives(text)


@fuzzing
@given(values)
def test_any_structure_is_read_or_refused(value: object) -> None:
    survives(json.dumps(value))


@fuzzing
@given(values)
def test_any_condition_is_read_or_refused(condition: object) -> None:
    move = {"from": "a", "to": "b", "when": condition}
    survives(
        json.dumps(
            {"key": "x", "start": "a", "stages": [{"key": "a"}, {"key": "b"}], "moves": [move]}
        )
    )


@fuzzing
@given(st.sampled_from(sorted(definitions.SHIPPED.glob("*.yaml"))), st.data())
def test_any_slip_of_the_pen_is_read_or_refused(file: Path, data: st.DataObject) -> None:
    text = file.read_text("utf-8")
    at = data.draw(st.integers(0, len(text)))
    gone = data.draw(st.integers(0, 12))
    put = data.draw(
        st.sampled_from(WORDS) | st.sampled_from(["{", "]", ": ", "\n", "- ", "'", "0d"])
    )

    survives(text[:at] + put + text[at + gone :])


@pytest.mark.parametrize("opening", ["{not: ", "{all: [", "[", "{a: "])
@pytest.mark.parametrize("depth", [50, 300, 3_000])
def test_what_is_nested_too_deeply_is_refused(opening: str, depth: int) -> None:
    head = "key: x\nstart: a\nstages: [{key: a}, {key: b}]\nmoves: [{from: a, to: b, when: "
    closing = {"{not: ": "}", "{all: [": "]}", "[": "]", "{a: ": "}"}[opening]

    survives(f"{head}{opening * depth}{{event: A}}{closing * depth}}}]")
