"""The write key of a request, in every form the SDKs send it.

A key in a header or the query beats one in the body; Jitsu's SDK masks the latter as `***`.
"""

import base64
import binascii
import contextlib
import hashlib
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

KEY_PREFIX: Final = "wk_"
_LONGEST: Final = 512
_LONGEST_REMEMBERED: Final = 256
_MASKED: Final = "***"
_IN_QUERY: Final = (b"writeKey", b"writekey")
_MOST_FIELDS: Final = 200


@lru_cache(maxsize=1_024)
def digest_of(write_key: str) -> bytes:
    """Give the SHA-256 under which a write key is kept; keys are random, so it needs no salt."""
    return hashlib.sha256(write_key.encode()).digest()


def write_key_of(authorization: bytes, x_write_key: bytes, query: bytes) -> str | None:
    """Find the key that stands outside of the body; None if there is none.

    Args:
        authorization: the `Authorization` header: `Basic` with `key:` or `key`, encoded or not,
            `Bearer` with a key, or a bare key. A bearer token that is no key of ours is ignored:
            Segment's SDK puts an OAuth token there and the key into the body.
        x_write_key: the `X-Write-Key` header: a key, or `key:secret` as Jitsu's SDK wants it on a
            server. The secret is ignored: our keys are secret enough.
        query: the query string, for `writeKey=` or `writekey=`.
    """
    if authorization:
        remembered = len(authorization) <= _LONGEST_REMEMBERED
        read = _remembered if remembered else _from_authorization
        if key := read(authorization):
            return key
    if x_write_key and (key := _usable(x_write_key.partition(b":")[0])):
        return key
    return _from_query(query) if query else None


def unmasked(write_key: str | None) -> str | None:
    """Give the key a body carries, unless it is none or masked."""
    return None if write_key is None else _usable(write_key.encode())


def _from_authorization(header: bytes) -> str | None:
    scheme, _, value = header.strip().partition(b" ")
    match scheme.lower():
        case b"basic":
            return _usable(_decoded(value.strip()))
        case b"bearer":
            key = _usable(value.strip())
            return key if key and key.startswith(KEY_PREFIX) else None
        case _:
            return None if value else _usable(scheme)


_remembered: Final = lru_cache(maxsize=1_024)(_from_authorization)
"""A sender repeats its header with every request; who has the key is asked anew each time."""


def _from_query(query: bytes) -> str | None:
    fields = query.split(b"&", _MOST_FIELDS)[:_MOST_FIELDS]
    for field in fields:
        name, _, value = field.partition(b"=")
        if name in _IN_QUERY and value:
            return _usable(unquote_to_bytes(value))
    return None


def _decoded(value: bytes) -> bytes:
    """Decode Basic credentials to the user's name; what is not base64 is the key itself."""
    with contextlib.suppress(binascii.Error):
        value = base64.b64decode(value + b"=" * (-len(value) % 4), validate=True)
    return value.partition(b":")[0]


def without_key(query: bytes) -> bytes:
    """Give a query string without the write key."""
    fields = query.split(b"&")
    return b"&".join(field for field in fields if field.partition(b"=")[0] not in _IN_QUERY)


def _usable(value: bytes) -> str | None:
    if len(value) > _LONGEST:
        return None
    text = value.decode("utf-8", "replace")
    return text if text and text != _MASKED else None
