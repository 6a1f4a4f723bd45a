"""Predicates: tests of the values that stand at a path of a touchpoint.

Nothing is coerced: "7" is not 7. Numbers are compared as numbers, texts letter by letter (which
orders ISO dates), and nothing else has an order. A null counts as absent.
Where a path leads to several values (`*`), a test holds if it holds for one of them; `ne` is the
denial of `eq`, so it holds if no value is equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final, Literal

import re2  # type: ignore[import-untyped] # the wheel has no types; used in `expression` alone
from msgspec import Struct
from msgspec.structs import replace

from clm_stage_engine.core.reading import EACH, Path

Scalar = str | bool | int | Decimal
TestOp = Literal[
    "eq", "ne", "gt", "gte", "lt", "lte", "in", "contains", "starts", "exists", "matches"
]
Op = Literal["gt", "gte", "lt", "lte", "eq", "ne"]


class Test(Struct, frozen=True):
    """One test of the values at a path.

    Attributes:
        op: what is asked.
        value: what it is asked about; a tuple for `in`.
        denied: the opposite is asked.
    """

    op: TestOp
    value: Scalar | tuple[Scalar, ...]
    denied: bool = False

    def holds(self, values: Sequence[object]) -> bool:
        """Tell whether it holds for these values."""
        there = [it for it in values if it is not None]
        return _TESTS[self.op](there, self.value) != self.denied

    def opposite(self) -> Test:
        """Give the test that holds where this does not."""
        return replace(self, denied=not self.denied)


Where = tuple[tuple[Path, Test], ...]
"""Tests that must all hold, each at its path."""


def kind_of(value: object) -> str | None:
    """Name what a value is, as far as comparing goes; None for lists and objects."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "text"
    return "number" if isinstance(value, int | Decimal) else None


def same(one: object, other: object) -> bool:
    """Tell whether two values are equal without coercion."""
    return kind_of(one) == kind_of(other) and one == other


def _eq(values: Sequence[object], wanted: object) -> bool:
    return any(same(it, wanted) for it in values)


def _in(values: Sequence[object], wanted: object) -> bool:
    listed = wanted if isinstance(wanted, tuple) else ()
    return any(same(it, each) for it in values for each in listed)


def _contains(values: Sequence[object], wanted: object) -> bool:
    for it in values:
        if isinstance(it, list) and any(same(each, wanted) for each in it):
            return True
        if isinstance(it, str) and isinstance(wanted, str) and wanted in it:
            return True
    return False


def _starts(values: Sequence[object], wanted: object) -> bool:
    return any(
        isinstance(it, str) and isinstance(wanted, str) and it.startswith(wanted) for it in values
    )


def _matches(values: Sequence[object], wanted: object) -> bool:
    found = expression(str(wanted))
    return any(isinstance(it, str) and found(it) for it in values)


def _ordered(op: Op) -> Callable[[Sequence[object], object], bool]:
    def test(values: Sequence[object], wanted: object) -> bool:
        return any(compare(op, it, wanted) for it in values)

    return test


def compare(op: Op, one: object, other: object) -> bool:
    """Compare two numbers or two texts; False where they have no order."""
    if isinstance(one, str) and isinstance(other, str):
        sign = (one > other) - (one < other)
    elif kind_of(one) == kind_of(other) == "number":
        sign = (one > other) - (one < other)  # type: ignore[operator] # both are numbers
    else:
        return False
    return {"gt": sign > 0, "gte": sign >= 0, "lt": sign < 0, "lte": sign <= 0}[op]


@lru_cache(maxsize=1024)
def expression(pattern: str) -> Callable[[str], bool]:
    """Compile a pattern for an engine whose time grows with the text's length alone.

    Raises:
        ValueError: the engine does not read it.
    """
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        found = re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0] if error.args else "not a pattern"
        raise ValueError(reason.decode() if isinstance(reason, bytes) else str(reason)) from error

    def search(text: str) -> bool:
        try:
            return found.search(text) is not None
        except UnicodeEncodeError:  # half a surrogate pair is no text
            return False

    return search


_TESTS: Final[dict[TestOp, Callable[[Sequence[object], object], bool]]] = {
    "eq": _eq,
    "ne": lambda values, wanted: not _eq(values, wanted),
    "gt": _ordered("gt"),
    "gte": _ordered("gte"),
    "lt": _ordered("lt"),
    "lte": _ordered("lte"),
    "in": _in,
    "contains": _contains,
    "starts": _starts,
    "exists": lambda values, wanted: bool(values) == wanted,
    "matches": _matches,
}


def contradict(tests: Iterable[Test], path: Path) -> bool:
    """Tell whether no single value could pass all tests. True is certain."""
    asked = list(tests)
    if EACH in path:
        return False
    options = [it for it in asked if it.op in {"eq", "in"} and not it.denied]
    if options:
        first = options[0].value
        candidates: tuple[object, ...] = first if isinstance(first, tuple) else (first,)
        return not any(all(test.holds([each]) for test in asked) for each in candidates)
    if all(test.holds(()) for test in asked):
        return False
    absent = any(it.op == "exists" and bool(it.value) == it.denied for it in asked)
    return absent or _empty([it for it in asked if not it.denied])


def _empty(tests: Iterable[Test]) -> bool:
    """Tell whether bounds leave nothing between them, or want numbers and texts at once."""
    bounds = [it for it in tests if it.op in {"gt", "gte", "lt", "lte"}]
    lower = [it for it in bounds if it.op in {"gt", "gte"}]
    upper = [it for it in bounds if it.op in {"lt", "lte"}]
    if len({kind_of(it.value) for it in bounds}) > 1:
        return True
    strict = {"gt", "lt"}
    return any(
        compare("gt", low.value, high.value)
        or (same(low.value, high.value) and bool({low.op, high.op} & strict))
        for low in lower
        for high in upper
    )
