"""How tests of what a touchpoint carries are written, in lifecycles and in channel tables.

`where: {properties.plan: pro, properties.seats: {gte: 5}}`: each path with a value it equals, a
list of values it is one of, or the tests it must all pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Self, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)

from clm_common.catalog import Strict
from clm_stage_engine.core.predicate import Test, TestOp, Where, contradict, expression
from clm_stage_engine.core.reading import EACH, Path

_LONGEST: Final = 500  # letters of a value or a pattern
_OPS: Final[tuple[TestOp, ...]] = (
    "eq",
    "ne",
    "gt",
    "gte",
    "lt",
    "lte",
    "contains",
    "starts",
    "exists",
    "matches",
)


def _number(value: object) -> object:
    """Read a number as it was written: 0.1 is a tenth, exactly."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    return value


def _readable(pattern: str) -> str:
    expression(pattern)
    return pattern


_Text = Annotated[str, StringConstraints(max_length=_LONGEST)]
Number = Annotated[Decimal, BeforeValidator(_number, json_schema_input_type=float)]
Value = bool | int | Number | _Text
Ordered = int | Number | _Text
Listed = Annotated[list[Value], Field(min_length=1, max_length=1000)]
Pattern = Annotated[_Text, AfterValidator(_readable)]
PropertyPath = Annotated[str, StringConstraints(pattern=r"^[^.]+(\.[^.]+)*$", max_length=200)]


class Inline(Strict):
    """Tests of one value, all of which must hold."""

    eq: Value | None = None
    ne: Value | None = None
    gt: Ordered | None = None
    gte: Ordered | None = None
    lt: Ordered | None = None
    lte: Ordered | None = None
    among: Annotated[Listed | None, Field(alias="in")] = None
    contains: Value | None = None
    starts: _Text | None = None
    exists: bool | None = None
    matches: Pattern | None = None

    def tests(self) -> tuple[Test, ...]:
        """Give the tests; at least one."""
        found = [Test(op, value) for op in _OPS if (value := getattr(self, op)) is not None]
        if self.among is not None:
            found.append(Test("in", tuple(self.among)))
        return tuple(found)

    @model_validator(mode="after")
    def _any(self) -> Self:
        return checked(self, self.tests())


Model = TypeVar("Model", bound=Inline)


def checked(model: Model, tests: tuple[Test, ...]) -> Model:
    """Give a model whose tests can be passed.

    Raises:
        ValueError: there is no test, or no value could pass all of them.
    """
    if not tests:
        raise ValueError(f"test with at least one of {', '.join(_OPS)} or in")
    if contradict(tests, ()):
        raise ValueError("no value can pass all of these tests; correct one of them")
    return model


class Tests(Inline):
    """Tests of one value, all of which must hold; `not` turns one test round."""

    denied: Annotated[Tests | None, Field(alias="not")] = None

    def tests(self) -> tuple[Test, ...]:
        """Give the tests; at least one."""
        if self.denied is None:
            return super().tests()
        denied = self.denied.tests()
        if len(denied) > 1:
            raise ValueError("not takes one test; deny them one by one")
        return (*super().tests(), *(it.opposite() for it in denied))


def _form(written: Any) -> str:  # Any: whatever stands in the file
    if isinstance(written, dict | Tests):
        return "tests"
    return "list" if isinstance(written, list) else "value"


TestWritten = Annotated[
    Annotated[Value, Tag("value")]
    | Annotated[Listed, Tag("list")]
    | Annotated[Tests, Tag("tests")],
    Discriminator(_form),
]


def tests_of(written: TestWritten) -> tuple[Test, ...]:
    """Give the tests that a value, a list of values or a mapping of tests stands for."""
    if isinstance(written, Tests):
        return written.tests()
    if isinstance(written, list):
        return (Test("in", tuple(written)),)
    return (Test("eq", written),)


def path_of(written: str) -> Path:
    """Give a path written with dots; `*` or `[]` after a name means each element of a list."""
    return tuple(written.replace("[]", f".{EACH}").split("."))


WhereWritten = Annotated[dict[PropertyPath, TestWritten], Field(min_length=1, max_length=50)]


def where_of(written: Mapping[str, TestWritten] | None) -> Where:
    """Give the tests of a `where`."""
    return tuple(
        (path_of(path), test) for path, it in (written or {}).items() for test in tests_of(it)
    )
