"""The reference of the tracking API names the tests that hold it: each of them is there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference" / "tracking-api.md"
NAMED = re.findall(r"`(tests/\S+\.py)::(\w+)`", REFERENCE.read_text())


def test_every_test_that_the_reference_names_is_there() -> None:
    missing = [f"{file}::{name}" for file, name in NAMED if name not in names_in(ROOT / file)]

    assert NAMED
    assert missing == []


def test_every_rule_of_the_reference_names_a_test() -> None:
    rows = [line for line in REFERENCE.read_text().splitlines() if line.startswith("| ")]
    rules = [row for row in rows if row != "| rule | held by |"]

    assert rules
    assert [rule for rule in rules if "::test_" not in rule] == []


def names_in(file: Path) -> set[str]:
    """Give the names of the tests of a file."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(file.read_text())
    return {it.name for it in ast.walk(tree) if isinstance(it, kinds)}
