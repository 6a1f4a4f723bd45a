"""Identifiers: which values count as one, in which form, and which others a touchpoint names.

A blocked value stands for nobody ("null", "undefined", zeros): taken for an id it would make one
person of many. An email address, a phone number or an id of another system that an identify call
names is an attribute of that touchpoint's own identity: one is found by it, and it joins profiles
only where its kind says so (see `matching`), because it may be shared, mistyped or made up. The
group of a group call is an attribute, too, and joins nobody ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from clm_common.contracts.ids import ANONYMOUS_ID, USER_ID
from clm_stage_engine.core.merging import Bounds
from clm_stage_engine.core.predicate import expression
from clm_stage_engine.core.reading import raw_at
from clm_stage_engine.core.traits import IDENTIFY, told

Form = Literal["text", "email", "phone"]

LONGEST: Final = 320
"""Characters of an attribute's value; the longest email address has as many."""

GROUP: Final = "group"
GROUP_ID: Final = "group_id"
"""The kind of the id that a group call names."""

NAMING: Final = frozenset({IDENTIFY, GROUP})
"""The types of calls that name attributes."""

_OWN: Final = frozenset({USER_ID, ANONYMOUS_ID})
_ALONE: Final = {USER_ID: 1, ANONYMOUS_ID: 0}  # what one person has where these join nobody
_MANY: Final = 1_000  # values looked through where a kind has no limit
_MOST: Final = 50  # attributes of one call; a sender's mistake must not fill a table
_CASES: Final[tuple[Callable[[str], str], ...]] = (str, str.lower, str.upper, str.title)
_BREAKS: Final = str.maketrans("", "", " \t-./()\u00a0\u2013")
_NAME: Final = expression(r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")
_DIGITS: Final = range(5, 16)  # an E.164 number has at most 15


class Kind(Struct, frozen=True):
    """What is known of one kind of identifier.

    Attributes:
        form: how values are brought into one form.
        fields: the traits that carry it.
        limit: how many values of a profile one finds it by, the first said first; of a kind that
            joins people how many one person may have. None: any number.
        values: blocked ones, in every usual case.
        patterns: blocked as well is what one of these finds something in.
        joins: whether it makes one person of those who have the same value.
        priority: where people differ in a stronger kind, 1 being the strongest, it does not.
    """

    form: Form = "text"
    fields: tuple[str, ...] = ()
    limit: int | None = 20
    values: frozenset[str] = frozenset()
    patterns: tuple[Callable[[str], bool], ...] = ()
    joins: bool = False
    priority: int = 9

    def blocks(self, value: str) -> bool:
        """Tell whether a value, in its form, stands for nobody; one of nothing but spaces does."""
        if value in self.values or value.isspace():
            return True
        return bool(self.patterns) and any(finds(value) for finds in self.patterns)


class Country(Struct, frozen=True):
    """How numbers are dialled in the country that numbers without one belong to.

    Attributes:
        code: the country's, without `+`.
        trunk: what numbers begin with inside the country and not from abroad.
        abroad: what is dialled before another country's code.
    """

    code: str
    trunk: str = "0"
    abroad: str = "00"


class Said(Struct, frozen=True):
    """An attribute that a touchpoint names; `value` is None where it is blocked."""

    kind: str
    value: str | None


class Identifiers:
    """The kinds of identifiers of an installation.

    Attributes:
        user_blocked: tells whether a user id stands for nobody; asked for every touchpoint.
        anonymous_blocked: tells the same of an anonymous id.
        joining: the kinds of attributes that join people.
        bounds: how many ids of each kind one person may have, and which kind wins.
    """

    def __init__(
        self, kinds: Mapping[str, Kind], others: Kind, country: Country | None = None
    ) -> None:
        """Take what is known of identifiers.

        Args:
            kinds: those that are described.
            others: what holds for ids of any other system.
            country: of phone numbers that do not tell theirs; None leaves them as they are.
        """
        self._kinds = kinds
        self._others = others
        self._country = country
        self.user_blocked: Callable[[str], bool] = kinds.get(USER_ID, others).blocks
        self.anonymous_blocked: Callable[[str], bool] = kinds.get(ANONYMOUS_ID, others).blocks
        named = {kind: it for kind, it in kinds.items() if kind not in _OWN}
        self.joining = frozenset(kind for kind, it in named.items() if it.joins)
        telling = {kind: it for kind, it in kinds.items() if kind in _OWN or it.joins}
        limits = {kind: it.limit if it.joins else _ALONE[kind] for kind, it in telling.items()}
        self.bounds = Bounds(
            {kind: limit for kind, limit in limits.items() if limit is not None},
            {kind: it.priority for kind, it in telling.items()},
        )
        self._fields = {field: kind for kind, it in named.items() for field in it.fields}

    def known(self, kind: str) -> str:
        """Give a kind's name for a metric: a sender must not make up any number of them."""
        return kind if kind in self._kinds else "others"

    def limit(self, kind: str) -> int:
        """Give how many values of a kind a profile is found by."""
        return self._kinds.get(kind, self._others).limit or _MANY

    def normal(self, kind: str, value: str) -> str | None:
        """Bring a value into its form; None where it has none."""
        text = _FORMS[self._kinds.get(kind, self._others).form](value.strip(), self._country)
        return text if text and len(text) <= LONGEST and "\0" not in text else None

    def said(self, type_: str, body: bytes) -> list[Said]:
        """Give the attributes that a call names, each once, 50 at most.

        Args:
            type_: of an identify call the traits and the ids of other systems count, of a group
                call its `groupId` (its traits are the group's), of any other nothing.
            body: the call's JSON. Traits stand at the top (Segment), in `context` (RudderStack),
                or in both, then the top decides; ids of other systems in `context.externalIds`
                or `context.externalId`.
        """
        if type_ == GROUP:
            group = _group(body)
            return [] if group is None else [*self._one(GROUP_ID, Raw(group))]
        return [*dict.fromkeys(self._named(body))][:_MOST] if type_ == IDENTIFY else []

    def _named(self, body: bytes) -> Iterator[Said]:
        traits = told({}, body)
        for field, kind in self._fields.items():
            if field in traits:
                yield from self._one(kind, traits[field])
        for other in _externals(body):
            if _NAME(other.type) and other.type not in {*_OWN, GROUP_ID}:
                yield from self._one(other.type, other.id)

    def _one(self, kind: str, raw: Raw) -> Iterator[Said]:
        written = _text(raw)
        if written is None:
            return
        value = self.normal(kind, written)
        blocked = value is None or self._kinds.get(kind, self._others).blocks(value)
        yield Said(kind, None if blocked else value)


class _External(Struct):
    type: str
    id: Raw


_BROKEN: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_group: Final = raw_at(("groupId",))
_EXTERNALS: Final = (raw_at(("context", "externalIds")), raw_at(("context", "externalId")))
_list: Final = msgspec.json.Decoder(list[Raw]).decode
_external: Final = msgspec.json.Decoder(_External).decode
_scalar: Final = msgspec.json.Decoder(str | int).decode


def _externals(body: bytes) -> Iterator[_External]:
    for find in _EXTERNALS:
        for each in _listed(find(body)):
            try:
                yield _external(each)
            except _BROKEN:
                continue


def _listed(text: bytes | None) -> list[Raw]:
    try:
        return [] if text is None else _list(text)
    except _BROKEN:
        return []


def _text(raw: Raw) -> str | None:
    """Give a text or a whole number as text; null and everything else is no identifier."""
    try:
        return str(_scalar(raw))
    except _BROKEN:
        return None


def spellings(values: Iterable[str]) -> frozenset[str]:
    """Give values in every usual case, so that one look-up tells."""
    return frozenset(case(value) for value in values for case in _CASES)


def _plain(value: str, _: Country | None) -> str:
    return value


def _email(value: str, _: Country | None) -> str | None:
    """Lower case; None where it is no address: something on both sides of one `@`."""
    local, at, domain = value.lower().rpartition("@")
    there = local and at and "." in domain.strip(".") and not any(map(str.isspace, value))
    return f"{local}@{domain}" if there else None


def _phone(value: str, country: Country | None) -> str | None:
    """E.164 where the number tells its country or there is a default, else its digits: no guess."""
    digits = value.translate(_BREAKS)
    for sign in ("+", "00" if country is None else country.abroad):
        if digits.startswith(sign):
            return _digits(digits.removeprefix(sign), "+")
    if country is None or not _is_national(digits, country):
        return _digits(digits)
    return _digits(country.code + digits.removeprefix(country.trunk), "+")


def _is_national(digits: str, country: Country) -> bool:
    """Tell whether a number is whole: where they begin with 0, one without lacks its area code."""
    return country.trunk != "0" or digits.startswith("0")


def _digits(digits: str, sign: str = "") -> str | None:
    whole = digits.isascii() and digits.isdigit() and len(digits) in _DIGITS
    return sign + digits if whole else None


_FORMS: Final[dict[Form, Callable[[str, Country | None], str | None]]] = {
    "text": _plain,
    "email": _email,
    "phone": _phone,
}
