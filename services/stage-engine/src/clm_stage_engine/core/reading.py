"""Reads what stands at a path of a touchpoint's JSON; the rest of the body is skipped.

A path is a tuple of keys. The key `*` means every element of a list, so that one path may lead to
several values. Where something on the way is no object, or is missing, there is no value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

import msgspec

Path = tuple[str, ...]
EACH: Final = "*"

_decode: Final = msgspec.json.Decoder(float_hook=Decimal).decode
_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_BROKEN: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


def raw_at(path: Path) -> Callable[[bytes], bytes | None]:
    """Give a function that finds the JSON text at a path without `*`; None where there is none."""
    kind: Any = msgspec.Raw  # Any: a type made here
    fields: list[tuple[str, Any, Any]] = [("value", kind, msgspec.Raw())]
    for name in reversed(path):
        kind = msgspec.defstruct("At", fields, rename={"value": name}, gc=False)
        fields = [("value", kind | None, None)]
    decode = msgspec.json.Decoder(kind).decode

    def read(body: bytes) -> bytes | None:
        try:
            value = decode(body)
            for _ in path:
                if value is None:
                    return None
                value = value.value
        except _BROKEN:
            return None
        return bytes(value) or None

    return read


def values_at(path: Path) -> Callable[[bytes], tuple[object, ...]]:
    """Give a function that reads the values at a path; a null is a value, too: None.

    Numbers are int or Decimal, so that they compare exactly.
    """
    fixed = path[: path.index(EACH)] if EACH in path else path
    rest = path[len(fixed) :]
    find = raw_at(fixed) if fixed else None

    def read(body: bytes) -> tuple[object, ...]:
        text = find(body) if find is not None else body
        if text is None:
            return ()
        try:
            value = _decode(text)
        except _BROKEN:
            return ()
        return tuple(_walk(value, rest)) if rest else (value,)

    return read


def _walk(value: object, path: Path) -> Iterator[object]:
    if not path:
        yield value
    elif path[0] == EACH:
        for item in value if isinstance(value, list) else ():
            yield from _walk(item, path[1:])
    elif isinstance(value, dict) and path[0] in value:
        yield from _walk(value[path[0]], path[1:])


def digest(value: object) -> int:
    """Give 63 bits that tell values apart: equal values, equal numbers of any spelling, agree."""
    if isinstance(value, Decimal):
        value = format(value.normalize(), "f") if value % 1 else int(value)
        value = {"number": value} if isinstance(value, str) else value
    return int.from_bytes(sha256(_encode(value)).digest()[:8], "big") >> 1
