"""The language's documents say what the models say, and their examples work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clm_stage_engine import definitions
from clm_stage_engine.language.reference import FILE, document, kinds

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "how-to" / "write-a-lifecycle.md").read_text("utf-8")
HEAD = "key: x\nstart: shopper\nstages: [{key: shopper}, {key: abandoned}, {key: z}]\nmoves:\n"
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


def test_the_reference_is_what_the_models_say() -> None:
    assert (ROOT / FILE).read_text("utf-8") == document()


def test_every_key_of_every_condition_is_described() -> None:
    text = document()

    assert {tag for tag, _ in kinds()} >= {"event", "score", "local", "not"}
    assert all(f"### {tag}\n" in text for tag, _ in kinds())


def test_the_guides_whole_lifecycle_works() -> None:
    assert len(definitions.parse(BLOCKS[0]).moves) == 6


@pytest.mark.parametrize(
    "condition",
    [line[6:] for block in BLOCKS for line in block.split("\n") if line[:6] == "when: "],
)
def test_every_condition_of_the_guide_works(condition: str) -> None:
    moves = f"  - {{from: shopper, to: abandoned, when: {condition}}}\n"
    more = "  - {from: abandoned, to: z, when: {event: Z}}\n"

    assert len(definitions.parse(HEAD + moves + more).moves) == 2
