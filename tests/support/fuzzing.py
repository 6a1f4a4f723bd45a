"""Odd input on purpose: how many examples a property tries, and how good requests are spoiled.

An ordinary run tries few; `CLM_TEST_FUZZ=20000` tries so many of each property.
"""

from __future__ import annotations

import codecs
import copy
import json
import os
from random import Random
from typing import Any, Final

from hypothesis import strategies as st

Json = Any  # Any: JSON

_SPLINTERS: Final = (
    *(b"NaN", b"-Infinity", b"1e999", b"-", b"0123", b"1.", b"true", b"null", b'""', b"{}", b"[]"),
    *(b"\\ud800", b"\\ud83d\\ude00", b"\\u0000", b"\\x", b"\\", b'"', b"'", b"\0", b"\x0b", b"\n"),
    *(b"{", b"}", b"[", b"]", b",", b":", b"/*", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b" " * 9),
    *(codecs.BOM_UTF8, b'"batch":[', b'"userId":7,', b'"messageId":"m",', b'"type":"track",'),
)
_VALUES: Final[tuple[Json, ...]] = (
    *(None, True, False, 0, -1, 7, 2**63, 10**30, 1.5, 3.0, 1e300, "", " ", "u-1", "track", "page"),
    *("Track", "2026-11-21T19:57:32Z", "2026-11-21", 1795291057, "x" * 256, "x" * 257, "x" * 700),
    *("\0", "\u2028", "😀", "ü", [], {}, [1], [[]], {"a": None}, {"userId": "u-2"}, "null", "***"),
)
_FIELDS: Final = (
    *("type", "event", "userId", "anonymousId", "messageId", "timestamp", "sentAt", "writeKey"),
    *("originalTimestamp", "context", "properties", "traits", "batch", "previousId", "historical"),
)


def examples(ordinary: int) -> int:
    """Give how many examples a property shall try."""
    return int(os.environ.get("CLM_TEST_FUZZ", ordinary))


def spoiled(bodies: list[Json]) -> st.SearchStrategy[Json]:
    """Give JSON that was good and of which a few values are others, missing, or doubled."""
    return st.builds(_spoil, st.sampled_from(bodies), st.randoms(use_true_random=False))


def splintered(bodies: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Give bytes of which a few are others, missing, or doubled."""
    return st.builds(_splinter, bodies, st.randoms(use_true_random=False))


def written(value: Json, *, ascii_only: bool = True, indent: int | None = None) -> bytes:
    """Write JSON as some sender may; half a surrogate pair that is no ASCII becomes no UTF-8."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    return text.encode("utf-8", "surrogatepass")


def _spoil(body: Json, random: Random) -> Json:
    spoilt = copy.deepcopy(body)
    for _ in range(random.randint(0, 4)):
        _change(spoilt, random)
    return spoilt


def _change(value: Json, random: Random) -> None:
    """Change one thing somewhere within."""
    inner = [it for it in _children(value) if isinstance(it, dict | list) and it]
    if inner and random.random() < 0.75:
        _change(random.choice(inner), random)
    elif isinstance(value, list):
        _change_list(value, random)
    elif isinstance(value, dict):
        name = random.choice([*value, *_FIELDS])
        if random.random() < 0.3:
            value.pop(name, None)
        else:
            value[name] = copy.deepcopy(random.choice(_VALUES))


def _change_list(value: list[Json], random: Random) -> None:
    place = random.randint(0, len(value))
    match random.randint(0, 2):
        case 0:
            value.insert(place, copy.deepcopy(random.choice(_VALUES)))
        case 1 if value:
            value.insert(place, copy.deepcopy(random.choice(value)))
        case _:
            del value[place : place + 1]


def _children(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return [*value.values()]
    return [*value] if isinstance(value, list) else []


def _splinter(body: bytes, random: Random) -> bytes:
    for _ in range(random.randint(1, 3)):
        begin = random.randint(0, len(body))
        end = min(len(body), begin + random.choice((0, 0, 1, 2, 20)))
        match random.randint(0, 3):
            case 0:
                body = body[:begin] + random.choice(_SPLINTERS) + body[end:]
            case 1:
                body = body[:begin] + body[end + 1 :]
            case 2:
                body = body[:end] + body[begin:]
            case _:
                body = body[:begin] + bytes([random.randint(0, 255)]) + body[begin + 1 :]
    return body
