"""A contact: where and how a person can be addressed, as identify calls have told.

Addresses are personal data: they are compared and remembered by their hash wherever that is enough,
and appear in no log.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Final, cast

from email_validator import EmailNotValidError, validate_email
from msgspec import Struct

MAX_TEXT: Final = 200
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Contact(Struct, frozen=True):
    """What is known about addressing a person; None where nothing is.

    Attributes:
        email: the address to send to, syntactically valid, its domain as A-labels.
        first_name: as the person was called.
        last_name: likewise.
        time_zone: an IANA name, as it was sent.
        locale: a language tag, as it was sent.
    """

    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    time_zone: str | None = None
    locale: str | None = None


FIELDS: Final = Contact.__struct_fields__

_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "email": ("email",),
    "first_name": ("firstName", "first_name", "firstname"),
    "last_name": ("lastName", "last_name", "lastname"),
    "time_zone": ("timezone", "timeZone", "time_zone"),
    "locale": ("locale", "language"),
}


def normal_email(text: str) -> str | None:
    """Bring an address into the form to send to, or give None where it cannot be one.

    Only the syntax is looked at. The domain becomes lower-case A-labels where the part before the
    @ allows plain ASCII; that part stays as it was written.
    """
    try:
        found = validate_email(text, check_deliverability=False)
    except EmailNotValidError:
        return None
    return found.ascii_email or found.normalized


def address_hash(workspace: str, email: str) -> bytes:
    """Give what suppressions and "once per address" compare: SHA-256 of the address in lower case.

    Args:
        workspace: goes into the hash, so that two workspaces' lists cannot be compared.
        email: as `normal_email` gave it.
    """
    return hashlib.sha256(f"{workspace}\x1f{email.casefold()}".encode()).digest()


def traits_of(traits: object, context: object) -> dict[str, str | None]:
    """Read the contact's fields out of an identify call; None takes a field back.

    `traits` wins over `context.traits`; time zone and locale may stand in `context` itself.
    What is not usable (no text, an address that cannot be one) is as if it had not been said.
    """
    inner = _mapping(context)
    places = (_mapping(traits), _mapping(inner.get("traits")), _elsewhere(inner))
    found: dict[str, str | None] = {}
    for field, names in _NAMES.items():
        for said in (place[name] for place in places for name in names if name in place):
            usable, value = _READ.get(field, _text)(said)
            if usable:
                found[field] = value
                break
    return found | _split_name(places, found)


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def _elsewhere(context: Mapping[str, object]) -> Mapping[str, object]:
    return {name: context[name] for name in ("timezone", "locale") if name in context}


def _text(value: object) -> tuple[bool, str | None]:
    """Say whether a value is usable, and what it is: one line of text, or None."""
    if value is None:
        return True, None
    if not isinstance(value, str):
        return False, None
    text = _CONTROL.sub(" ", _storable(value)).strip()
    return bool(text) and len(text) <= MAX_TEXT, text


def _email(value: object) -> tuple[bool, str | None]:
    if value is None:
        return True, None
    email = normal_email(value.strip()) if isinstance(value, str) else None
    return email is not None, email


def _storable(text: str) -> str:
    """Replace what UTF-8 cannot hold (lone surrogates)."""
    return text.encode("utf-8", "replace").decode()


_READ: Final[Mapping[str, Callable[[object], tuple[bool, str | None]]]] = {"email": _email}


def _split_name(
    places: tuple[Mapping[str, object], ...], found: Mapping[str, str | None]
) -> dict[str, str | None]:
    """Take the first name out of `name` where no field of its own gave it."""
    if "first_name" in found:
        return {}
    for place in places:
        usable, name = _text(place.get("name"))
        if usable and name:
            first, _, last = name.partition(" ")
            return {"first_name": first} | (
                {} if "last_name" in found else {"last_name": last or None}
            )
    return {}
