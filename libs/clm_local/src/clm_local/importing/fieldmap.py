"""The field map of a CSV: which column becomes what of an event. Pure.

A cell of the map is a column or a fixed value; an empty field of the row leaves the key out.
Amounts are divided exactly, as decimals, before they become JSON numbers.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from clm_common.catalog import Definition, Entry, Loc, Problem, Strict
from clm_common.contracts.touchpoint import TouchpointType
from clm_ingest.core import timing

Scalar = str | int | float | bool
Row = Mapping[str, str]

_TRUTH: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_WITH_COMMA: Final = re.compile(r"[+-]?(?:\d{1,3}(?:\.\d{3})+|\d+)(?:,\d+)?")
_LARGEST: Final = Decimal(2**53)


class Unfit(Exception):
    """A field of a row cannot be what the map says; the message names column and value."""


class Cell(Strict):
    """Where a value is from.

    Attributes:
        column: the column's name in the first line of the file.
        value: the same for every row, instead.
        type: what the text of the column is.
        divide: what a number is divided by, such as 100 for cents.
        decimal: what stands before a number's fraction; with a comma, full stops may part its
            thousands.
        values: what each text of the column stands for; any other is refused.
    """

    column: str | None = None
    value: Scalar | None = None
    type: Literal["text", "integer", "number", "boolean"] = "text"
    divide: int | None = Field(default=None, ge=1)
    decimal: Literal[".", ","] = "."
    values: dict[str, Scalar] | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.column is None) == (self.value is None):
            raise ValueError("takes either `column` or `value`")
        if self.divide is not None and self.type != "number":
            raise ValueError("`divide` is for `type: number`")
        if self.decimal != "." and self.type != "number":
            raise ValueError("`decimal` is for `type: number`")
        return self

    def read(self, row: Row) -> Scalar | None:
        """Give the value for a row; None where the field is empty.

        Raises:
            Unfit: the text is not what the map says.
        """
        if self.column is None:
            return self.value
        text = row[self.column].strip()
        if not text:
            return None
        try:
            return self._converted(text)
        except (ValueError, KeyError, InvalidOperation):
            wanted = f"one of {', '.join(self.values)}" if self.values else f"of type {self.type}"
            raise Unfit(f"{self.column}: {text[:100]!r} is not {wanted}") from None

    def _converted(self, text: str) -> Scalar:
        if self.values is not None:
            return self.values[text]
        if self.type == "number":
            return _number(_decimal(text, self.decimal) / (self.divide or 1))
        return _READ[self.type](text)


class Moment(Strict):
    """When an event happened.

    Attributes:
        column: the column's name.
        format: how it is written, as Python's `strptime` reads it; left out, it is ISO 8601, or
            seconds or milliseconds since 1970.
        zone: the time zone of times that say none; an hour that a clock shows twice is the first.
    """

    column: str
    format: str | None = None
    zone: str = "UTC"

    @field_validator("zone")
    @classmethod
    def _exists(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"no time zone {zone!r}; write it as Europe/Berlin") from None
        return zone

    def read(self, row: Row) -> str:
        """Give the time of a row as RFC 3339.

        Raises:
            Unfit: the text is no time in this format.
        """
        text = row[self.column].strip()
        try:
            found = datetime.strptime(text, self.format) if self.format else timing.read(text)  # noqa: DTZ007 - the zone is added
        except ValueError:
            found = None
        if found is None:
            wanted = f"a time as {self.format}" if self.format else "a time"
            raise Unfit(f"{self.column}: {text[:100]!r} is not {wanted}")
        return (found if found.tzinfo else found.replace(tzinfo=ZoneInfo(self.zone))).isoformat()


class FieldMap(Definition):
    """What the rows of a CSV become.

    Attributes:
        type: the kind of event.
        event: the name of a track call.
        user_id: who it was.
        anonymous_id: likewise, of somebody who is not signed in.
        message_id: what makes an event count once; left out, it is derived from `key`, the row
            and its place in the file.
        timestamp: when it happened.
        properties: facts about the event.
        traits: facts about the person.
        context: where it happened.
        delimiter: what parts the fields of a row.
        encoding: of the file, as Python names it.
    """

    type: TouchpointType = "track"
    event: Cell | None = None
    user_id: Cell | None = Field(default=None, alias="userId")
    anonymous_id: Cell | None = Field(default=None, alias="anonymousId")
    message_id: Cell | None = Field(default=None, alias="messageId")
    timestamp: Moment
    properties: dict[str, Cell] = Field(default={})
    traits: dict[str, Cell] = Field(default={})
    context: dict[str, Cell] = Field(default={})
    delimiter: str = Field(default=",", min_length=1, max_length=1, pattern=r"[^\r\n\"]")
    encoding: str = "utf-8-sig"

    @field_validator("encoding")
    @classmethod
    def _is_known(cls, encoding: str) -> str:
        try:
            known = codecs.lookup(encoding).name
        except LookupError:
            raise ValueError(f"no encoding {encoding!r}; write it as windows-1252") from None
        return "utf-8-sig" if known == "utf-8" else known

    def event_of(self, row: Row) -> dict[str, Any]:  # Any: JSON
        """Give the event that a row stands for, in Segment's form.

        Raises:
            Unfit: a field is not what the map says.
        """
        heads = {
            "event": self.event,
            "userId": self.user_id,
            "anonymousId": self.anonymous_id,
            "messageId": self.message_id,
        }
        bodies = {
            "properties": self.properties,
            "traits": self.traits,
            "context": self.context,
        }
        inner = {name: _read(cells, row) for name, cells in bodies.items()}
        return {
            "type": self.type,
            **{name: _text(value) for name, value in _read(heads, row).items()},
            "timestamp": self.timestamp.read(row),
            **{name: values for name, values in inner.items() if values},
        }


def check_columns(entry: Entry[FieldMap], columns: Sequence[str]) -> None:
    """Hold a map against the columns that a file has.

    Raises:
        DefinitionError: it names others, or one that is there twice; with file and line of each.
    """
    named = _columns(entry.definition.model_dump(by_alias=True), ())
    unfit = [_unfit(at, column, columns) for at, column in named if columns.count(column) != 1]
    if unfit:
        raise entry.refuse(unfit)


def _unfit(at: Loc, column: str, columns: Sequence[str]) -> Problem:
    if column in columns:
        message = f"several columns are called {column!r}; rename all but the one that is meant"
        return Problem("import.column_repeated", at, message)
    there = ", ".join(columns)
    return Problem("import.column_unknown", at, f"no column {column!r}; the file has {there}")


def _columns(part: dict[str, Any], at: Loc) -> Iterable[tuple[Loc, str]]:  # Any: as dumped
    for name, value in part.items():
        if name == "column" and isinstance(value, str):
            yield (*at, name), value
        elif isinstance(value, dict):
            yield from _columns(value, (*at, name))


def _read(cells: Mapping[str, Cell | None], row: Row) -> dict[str, Scalar]:
    read = ((name, cell.read(row)) for name, cell in cells.items() if cell is not None)
    return {name: value for name, value in read if value is not None}


def _decimal(text: str, point: str) -> Decimal:
    """Read a number; with a comma before its fraction, full stops may part its thousands."""
    if point == ".":
        return Decimal(text)
    if not _WITH_COMMA.fullmatch(text):
        raise ValueError("no number")
    return Decimal(text.replace(".", "").replace(",", "."))


def _text(value: Scalar) -> str:
    return str(value)


def _number(value: Decimal) -> int | float:
    """Give a JSON number; a whole one has no fraction."""
    if not value.is_finite():
        raise ValueError("not finite")
    return (
        int(value) if value == value.to_integral_value() and abs(value) < _LARGEST else float(value)
    )


_READ: Final[Mapping[str, Callable[[str], Scalar]]] = {
    "text": str,
    "integer": int,
    "boolean": lambda text: _TRUTH[text.lower()],
}
