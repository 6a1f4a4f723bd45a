"""Proposes a tracking plan from events that were seen: pure, and discreet.

A property is required where it was always there. Few values of a text become an enum, but only
words that several customers share, of a property that is no likely personal data. Nothing else that
was sent stands in the proposal: neither values nor names that look like data.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

Json = Any  # Any: the senders' own JSON
Schema = dict[str, Any]  # Any: a JSON Schema

ENOUGH: Final = 5
"""Events after which "always there" means something."""

MOST_VALUES: Final = 12
"""An enum has no more values than these."""

SHARED: Final = 3
"""Customers that must have sent a value for it to be in an enum."""

REPEATED: Final = 5
"""Times as many events as values make an enum."""

DEEPEST: Final = 5
MOST_PROPERTIES: Final = 200
MOST_EVENTS: Final = 1_000

_TRAITS: Final = frozenset({"identify", "group"})
_PLANNED: Final = frozenset({"track", "identify", "page", "screen", "group"})
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z _/+-]{0,30}[A-Za-z0-9]?", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_ $.-]{0,63}", re.ASCII)
_NUMBERED: Final = re.compile(r"[0-9]{4}")
_PARTS: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_PERSONAL: Final = frozenset({
    "address", "age", "birth", "birthday", "card", "city", "comment", "company", "country", "dob",
    "email", "employer", "first", "gender", "iban", "ip", "last", "lat", "latitude", "location",
    "login", "lon", "longitude", "mail", "message", "mobile", "name", "nationality", "note",
    "password", "phone", "postal", "query", "race", "religion", "search", "secret", "sex", "ssn",
    "street", "surname", "tel", "text", "title", "token", "user", "username", "zip",
})  # fmt: skip
_TYPES: Final[Mapping[type, str]] = {
    type(None): "null",
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
}
_ATOM: Final = r"[A-Za-z0-9_%+-]+"
_LABEL: Final = r"(?!..--)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
"""Of a host's name; one that claims to be encoded (`xn--`) may be no name at all."""

_FORMATS: Final[Mapping[str, re.Pattern[str]]] = {
    "date-time": re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)"),
    "date": re.compile(r"\d{4}-\d\d-\d\d"),
    "email": re.compile(rf"(?=[^@]{{1,64}}@.{{1,253}}$){_ATOM}(\.{_ATOM})*@{_LABEL}(\.{_LABEL})+"),
    "uri": re.compile(r"[a-z][a-z0-9+.-]*://[^\s<>\"{}|\\^`]+"),
    "uuid": re.compile(r"[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"),
}


@dataclass
class _Seen:
    """What was seen in one place of one event."""

    count: int = 0
    types: Counter[str] = field(default_factory=Counter[str])
    values: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    too_many: bool = False
    formats: set[str] = field(default_factory=lambda: set(_FORMATS))
    properties: dict[str, _Seen] = field(default_factory=dict[str, "_Seen"])
    more: bool = False
    items: _Seen | None = None

    def note(self, value: Json, customer: str, depth: int) -> None:
        """Take note of one value."""
        self.count += 1
        kind = _type_of(value)
        self.types[kind] += 1
        if kind == "string":
            self._text(value, customer)
        elif kind == "object":
            self._object(value, customer, depth)
        elif kind == "array" and depth < DEEPEST:
            self.items = self.items or _Seen()
            for item in value[:100]:
                self.items.note(item, customer, depth + 1)

    def _text(self, value: str, customer: str) -> None:
        self.formats = {name for name in self.formats if _fits(name, value)}
        if self.too_many or not _WORD.fullmatch(value):
            self.too_many = True
            self.values.clear()
            return
        shared = self.values.setdefault(value, set())
        if len(shared) < SHARED:
            shared.add(customer)
        if len(self.values) > MOST_VALUES:
            self.too_many = True
            self.values.clear()

    def _object(self, value: Mapping[str, Json], customer: str, depth: int) -> None:
        for name, inner in value.items():
            known = name in self.properties
            room = depth < DEEPEST and len(self.properties) < MOST_PROPERTIES
            if not known and not (room and _is_a_name(name)):
                self.more = True
                continue
            self.properties.setdefault(name, _Seen()).note(inner, customer, depth + 1)

    def schema(self, name: str) -> Schema:
        """Describe what was seen."""
        found: Schema = {}
        types = sorted(self.types)
        if "number" in types and "integer" in types:
            types.remove("integer")
        if types and types != ["null"]:
            found["type"] = types[0] if len(types) == 1 else types
        if "string" in self.types:
            found.update(self._of_text(name))
        if "object" in self.types:
            found.update(self._of_object())
        if self.items is not None and self.items.count:
            found["items"] = self.items.schema(name)
        return found

    def _of_text(self, name: str) -> Schema:
        if len(self.types) > 1:
            return {}
        if self.formats:
            return {"format": min(self.formats)}
        few = self.count >= REPEATED * len(self.values) and not self.too_many
        shared = all(len(customers) >= SHARED for customers in self.values.values())
        if few and shared and not is_personal(name):
            return {"enum": sorted(self.values)}
        return {}

    def _of_object(self) -> Schema:
        total = self.types["object"]
        always = [n for n, it in self.properties.items() if it.count == total >= ENOUGH]
        found: Schema = {
            "properties": {n: it.schema(n) for n, it in sorted(self.properties.items())}
        }
        if always:
            found["required"] = sorted(always)
        if self.more:
            found["additionalProperties"] = True
        return found


class Inference:
    """Learns from events, one after the other."""

    def __init__(self) -> None:
        self.events = 0
        self._seen: defaultdict[tuple[str, str | None], _Seen] = defaultdict(_Seen)

    def learn(self, event: Mapping[str, Json], customer: str) -> None:
        """Learn from one event.

        Args:
            event: the touchpoint.
            customer: whose it is; only how many share a value counts.
        """
        kind = event.get("type")
        name = event.get("event") if kind == "track" else None
        if kind not in _PLANNED or (kind == "track" and not _is_an_event(name)):
            return
        place = (kind, name)
        if place not in self._seen and len(self._seen) >= MOST_EVENTS:
            return
        self.events += 1
        self._seen[place].note(_subject(event, kind), customer, 0)

    def plan(self) -> dict[str, Any]:  # Any: a JSON document
        """Propose a plan that every event so far would pass."""
        ordered = sorted(self._seen.items(), key=lambda item: (item[0][0], item[0][1] or ""))
        return {
            "mode": "observe",
            "unknown": "allow",
            "events": [_planned(kind, name, seen) for (kind, name), seen in ordered],
        }


def is_personal(name: str) -> bool:
    """Tell whether a property's name says that its values are likely personal data."""
    return not _PERSONAL.isdisjoint(part.lower() for part in _PARTS.findall(name))


def _planned(kind: str, name: str | None, seen: _Seen) -> dict[str, Any]:  # Any: a JSON document
    named = {"type": kind} if name is None else {"event": name}
    return {**named, "version": 1, "schema": seen.schema("")}


def _subject(event: Mapping[str, Json], kind: str) -> Json:
    """Give what a schema describes, as ingest finds it."""
    name = "traits" if kind in _TRAITS else "properties"
    context = event.get("context")
    if name == "traits" and name not in event and isinstance(context, dict):
        return context.get(name) or {}
    return event.get(name) or {}


def _type_of(value: Json) -> str:
    return _TYPES.get(type(value), "object")


def _fits(name: str, value: str) -> bool:
    if not _FORMATS[name].fullmatch(value):
        return False
    if name in {"date", "date-time"}:
        try:
            datetime.fromisoformat(value.upper())
        except ValueError:
            return False
    return True


def _is_an_event(name: Json) -> bool:
    """Tell names of events from those that hold somebody's data."""
    return isinstance(name, str) and bool(name) and "@" not in name and not _NUMBERED.search(name)


def _is_a_name(text: str) -> bool:
    """Tell names of properties from data that stands in their place."""
    return bool(_NAME.fullmatch(text)) and not _NUMBERED.search(text)
