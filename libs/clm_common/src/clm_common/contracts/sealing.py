"""Sealed values: AES-256-GCM under a key per person, so that a topic forgets who loses their key.

A sealed value is a byte of its form, the key's id, the nonce, and the ciphertext with its tag. The
topic and the record's key are authenticated with it: nothing sealed can be passed off as something
about somebody else, or moved to another topic. The nonce is derived from what is sealed (as in
SIV, RFC 5297), so that the same fact is the same bytes whenever it is published.
"""

from __future__ import annotations

import hmac
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from clm_common.errors import InvalidMessage

TYPE: Final = "clm.journey.sealed.v1"
"""The CloudEvents type of a sealed message of the river: what it says is told by its value."""

KEY_BYTES: Final = 32

SCOPE: Final = "journey:keys"
"""What a token must allow by which keys are asked for."""

EVERYWHERE: Final = "*"
"""The workspace of a token that gets keys of all of them: no workspace is called so."""

MOST_KEYS: Final = 1000
"""Keys asked for at a time."""

_FORM: Final = b"\x01"  # plain values are JSON objects, and begin with a brace
_ID: Final = 16
_NONCE: Final = 12
_TAG: Final = 16
_HEAD: Final = len(_FORM) + _ID + _NONCE


class Seal:
    """One person's key, ready to seal with and to open."""

    __slots__ = ("_cipher", "_head", "_nonces", "id")

    def __init__(self, name: UUID, key: bytes) -> None:
        """Make it.

        Args:
            name: the key's id; it stands in front of what is sealed.
            key: 32 random bytes.

        Raises:
            ValueError: the key is of another length.
        """
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes, not {len(key)}")
        self.id = name
        self._head = _FORM + name.bytes
        self._cipher = AESGCM(_derived(key, b"value"))
        self._nonces = _derived(key, b"nonce")

    def seal(self, value: bytes, topic: str, about: bytes) -> bytes:
        """Encrypt a value.

        Args:
            value: what is published.
            topic: where.
            about: the record's key.
        """
        bound = _bound(topic, about)
        nonce = hmac.digest(self._nonces, bound + value, "sha256")[:_NONCE]
        return self._head + nonce + self._cipher.encrypt(nonce, value, bound)

    def open(self, sealed: bytes, topic: str, about: bytes) -> bytes:
        """Decrypt a value of this topic about this person.

        Raises:
            InvalidMessage: it was changed, moved here from elsewhere, or sealed with another key.
        """
        if sealed[: len(self._head)] == self._head and len(sealed) >= _HEAD + _TAG:
            nonce, rest = sealed[len(self._head) : _HEAD], sealed[_HEAD:]
            try:
                return self._cipher.decrypt(nonce, rest, _bound(topic, about))
            except InvalidTag:
                pass
        raise InvalidMessage("journey.seal_broken", "the value is not what its key has sealed")


def is_sealed(value: bytes) -> bool:
    """Tell whether a value is sealed, whoever it is about."""
    return value[:1] == _FORM


def key_of(sealed: bytes) -> UUID:
    """Give the id of the key that has sealed a value.

    Raises:
        InvalidMessage: it is too short to be sealed.
    """
    if len(sealed) < _HEAD + _TAG:
        raise InvalidMessage("journey.seal_broken", "the value is too short to be sealed")
    return UUID(bytes=sealed[len(_FORM) : len(_FORM) + _ID])


def name_of(sealed: bytes) -> bytes:
    """Give a name of what is sealed, as an event's id: it tells nothing, and repeats with it."""
    return sealed[_HEAD - _NONCE : _HEAD].hex().encode()


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.digest(key, b"clm.sealing.v1\0" + purpose, "sha256")


def _bound(topic: str, about: bytes) -> bytes:
    """Give what is authenticated with a value; a topic's name holds no zero byte."""
    return topic.encode() + b"\0" + about + b"\0" + len(about).to_bytes(4)
