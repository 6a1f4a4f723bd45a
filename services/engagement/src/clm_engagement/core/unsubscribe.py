"""Unsubscribe tokens: opaque, without an address, valid for ever, and forged by nobody.

A token is the message's id and a keyed digest of it. Several keys may be given so that keys can be
replaced: the first signs, all are accepted.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from typing import Final
from uuid import UUID

_DIGEST: Final = 16
_PURPOSE: Final = b"clm.unsubscribe.v1\0"


def sign(message: UUID, key: bytes) -> str:
    """Give the token that unsubscribes the recipient of a message."""
    return (
        base64.urlsafe_b64encode(message.bytes + _digest(message.bytes, key)).decode().rstrip("=")
    )


def verify(token: str, keys: Sequence[bytes]) -> UUID | None:
    """Give the message a token was made for; None where none of the keys made it."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
    if len(raw) != 16 + _DIGEST:
        return None
    message, digest = raw[:16], raw[16:]
    good = [hmac.compare_digest(digest, _digest(message, key)) for key in keys]
    return UUID(bytes=message) if any(good) else None


def _digest(message: bytes, key: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + message, "sha256")[:_DIGEST]
