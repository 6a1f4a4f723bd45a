"""The words that several parts of a lifecycle are written with: durations, names, comparisons."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Final, Generic, Self, TypeVar

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
from clm_common.contracts.touchpoint import TYPES
from clm_common.instant import DAY, HOUR, MINUTE, SECOND
from clm_stage_engine.core.facts import LARGEST, MILLIONTHS
from clm_stage_engine.core.memories import MOST
from clm_stage_engine.core.predicate import Op, Test
from clm_stage_engine.core.selector import TRACK, Selector
from clm_stage_engine.language.where import Number, WhereWritten, where_of

OPS: Final[tuple[Op, ...]] = ("gt", "gte", "lt", "lte", "eq", "ne")
EVERY: Final = "*"

_UNITS: Final = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_LONGEST: Final = 36_500 * DAY
_DURATION: Final = re.compile(r"(-?(?:0|[1-9][0-9]{0,19}))([smhd])")
_DAY: Final = 24 * 60


def _duration(text: object) -> object:
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError("a duration is a whole number and s, m, h or d: 45s, 10m, 12h, 120d")
    micros = int(found[1]) * _UNITS[found[2]]
    if not 0 < micros <= _LONGEST:
        raise ValueError(f"a duration is from 1s to {_LONGEST // DAY}d, this one is {text}")
    return micros


def _hours(text: object) -> tuple[int, int]:
    found = (
        re.fullmatch(r"([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})", text)
        if isinstance(text, str)
        else None
    )
    start, end = (
        (int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4]))
        if found and int(found[2]) < 60 > int(found[4])  # noqa: PLR2004 - minutes of an hour
        else (_DAY, _DAY)
    )
    if start >= _DAY or end > _DAY or start == end:
        raise ValueError('hours are two different times of the day: "09:00-17:30", "22:00-06:00"')
    return start, end


def one_or_more(value: Any) -> list[Any]:  # Any: whatever stands in the file
    """Read a name, or a list of names, as a list."""
    if isinstance(value, str | dict):
        return [value]
    if isinstance(value, list):
        return value
    raise ValueError("write a name or a list of names, as text: quote a number")


def different(values: list[Any]) -> list[Any]:  # Any: names, or events with tests
    """Give a list in which nothing stands twice."""
    if len({repr(it) for it in values}) < len(values):
        raise ValueError("a name is listed twice; keep one")
    return values


def _amount(value: Decimal) -> Decimal:
    if abs(value) >= LARGEST or value * MILLIONTHS % 1:
        raise ValueError("an amount has at most six decimals and is below a million millions")
    return value


Duration = Annotated[int, BeforeValidator(_duration, json_schema_input_type=str)]
Hours = Annotated[tuple[int, int], BeforeValidator(_hours, json_schema_input_type=str)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Amount = Annotated[Number, AfterValidator(_amount)]
Times = Annotated[int, Field(ge=0, le=10**12)]


class Picked(Strict):
    """`{event: NAME, where: {...}}`: an event among others that must carry something."""

    event: Annotated[
        list[Name],
        Field(min_length=1),
        BeforeValidator(one_or_more, json_schema_input_type=str | list[str]),
        AfterValidator(different),
    ]
    where: WhereWritten


def _form(value: Any) -> str:  # Any: whatever stands in the file
    return "picked" if isinstance(value, dict | Picked) else "name"


Pick = Annotated[
    Annotated[Name, Tag("name")] | Annotated[Picked, Tag("picked")], Discriminator(_form)
]
Picks = Annotated[
    list[Pick],
    Field(min_length=1, max_length=100),
    BeforeValidator(one_or_more, json_schema_input_type=str | list[str]),
    AfterValidator(different),
]
"""A name, or a list of names.

A name is that of a tracked event; `*` is any tracked event. `page:NAME` is a page of that name,
`page:*` any page, and so for the other types; `track:NAME` names an event that looks like these.
"""


def selector(name: str) -> Selector:
    """Give the touchpoints that a name stands for."""
    kind, found, rest = name.partition(":")
    if not found or kind not in TYPES:
        kind, rest = TRACK, name
    if rest == EVERY:
        return Selector(kind)
    if kind == TRACK:
        return Selector(TRACK, rest)
    return Selector(kind, None, ((("name",), Test("eq", rest)),))


def selected(picks: Sequence[str | Picked], where: WhereWritten | None) -> tuple[Selector, ...]:
    """Give the touchpoints that names stand for, each with the tests of all."""
    shared = where_of(where)
    found: list[Selector] = []
    for pick in picks:
        names = pick.event if isinstance(pick, Picked) else [pick]
        more = where_of(pick.where) if isinstance(pick, Picked) else ()
        found += [
            Selector(it.type, it.event, (*it.where, *more, *shared)) for it in map(selector, names)
        ]
    return tuple(dict.fromkeys(found))


LENGTHS: Final[tuple[Op, ...]] = ("gt", "gte", "lt", "lte")


def bound_of(model: Strict) -> tuple[Op, Any]:  # Any: the number's type is the model's
    """Give the one comparison of an amount that changes with time, and its number.

    Raises:
        ValueError: there is none, or more than one.
    """
    values: dict[Op, Any] = {op: getattr(model, op) for op in LENGTHS}  # Any: as above
    if sum(it is not None for it in values.values()) != 1:
        raise ValueError(f"compare with exactly one of {', '.join(LENGTHS)}")
    return next((op, than) for op, than in values.items() if than is not None)


T = TypeVar("T", int, Decimal)


class Compared(Strict, Generic[T]):
    """A number and what it is compared with: exactly one of the six comparisons."""

    gt: T | None = None
    gte: T | None = None
    lt: T | None = None
    lte: T | None = None
    eq: T | None = None
    ne: T | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(getattr(self, op) is not None for op in OPS) != 1:
            raise ValueError(f"compare with exactly one of {', '.join(OPS)}")
        return self

    def comparison(self) -> tuple[Op, T]:
        """Give the comparison and its number."""
        values: dict[Op, T | None] = {op: getattr(self, op) for op in OPS}
        return next((op, than) for op, than in values.items() if than is not None)


class Counted(Compared[Times]):
    """A count and what it is compared with, perhaps `within` a window."""

    within: Duration | None = None

    def bounded(self, *, always: bool = False) -> Self:
        """Give itself if the comparison can be decided with bounded memory.

        Raises:
            ValueError: it says nothing, or wants more than is remembered.
        """
        op, than = self.comparison()
        if (op, than) == ("gte", 0):
            raise ValueError("gte: 0 always holds; leave it out or raise the number")
        if (op, than) == ("lt", 0):
            raise ValueError("lt: 0 never holds; raise the number")
        if (always or self.within is not None) and than >= MOST:
            raise ValueError(f"compare with less than {MOST:,}: no more is remembered")
        return self
