"""Messages held against the AsyncAPI document, and sealed ones opened as it says."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import jsonschema
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from clm_common.contracts import asyncapi

Json = dict[str, Any]  # Any: a part of the document

DOCUMENT: Final = asyncapi.document()


def message_of(topic: str, message: str) -> Json:
    """Give what the document says of a message."""
    found: Json = DOCUMENT["components"]["messages"][f"{topic}.{message}"]
    return found


def documented(topic: str, message: str, headers: Iterable[tuple[str, bytes]]) -> None:
    """Make sure that a message's headers are as the document says."""
    told = {name: value.decode() for name, value in headers}
    jsonschema.validate(told, message_of(topic, message)["headers"])


def documented_sealed(topic: str, headers: Iterable[tuple[str, bytes]], value: bytes) -> None:
    """Make sure that a sealed message's headers and value are as the document says."""
    named = dict(headers)
    documented(topic, "Sealed", named.items())
    jsonschema.validate(value.hex(), message_of(topic, "Sealed")["payload"])
    assert named["ce_id"].decode() == value[17:29].hex()
    assert "ce_time" not in named


def key_id(value: bytes) -> UUID:
    """Read a key's id off a sealed value as the document says."""
    return UUID(bytes=value[1:17])


def opened(value: bytes, key: bytes, topic: str, about: bytes) -> bytes:
    """Open a sealed value as the document says, without our code."""
    cipher = AESGCM(hmac.digest(key, b"clm.sealing.v1\0value", "sha256"))
    bound = topic.encode() + b"\0" + about + b"\0" + len(about).to_bytes(4, "big")
    return cipher.decrypt(value[17:29], value[29:], bound)
