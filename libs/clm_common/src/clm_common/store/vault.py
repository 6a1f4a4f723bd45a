"""Secrets that must be read again: encrypted with AES-256-GCM under `CLM_SECRETS_KEY`.

What a secret belongs to is authenticated with it, so that one cannot be moved to another row.
"""

import os
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from clm_common.errors import Rejected

_FORM: Final = b"\x01"
_NONCE: Final = 12


class Vault:
    """Seals secrets with the newest key and opens them with any."""

    def __init__(self, purpose: bytes, keys: Sequence[bytes] = ()) -> None:
        """Make it.

        Args:
            purpose: what it keeps; no vault of another purpose opens what it sealed.
            keys: random texts, the newest first; without any it cannot seal or open.
        """
        self._ciphers = [AESGCM(_derived(key, purpose)) for key in keys]

    def seal(self, secret: str, owner: UUID) -> bytes:
        """Encrypt a secret.

        Raises:
            Rejected: 409 if there is no key.
        """
        if not self._ciphers:
            detail = "secrets are kept encrypted only: set CLM_SECRETS_KEY to a random text"
            raise Rejected(409, "secrets.key_missing", detail)
        nonce = os.urandom(_NONCE)
        return _FORM + nonce + self._ciphers[0].encrypt(nonce, secret.encode(), owner.bytes)

    def open(self, sealed: bytes, owner: UUID) -> str | None:
        """Decrypt a secret; None if none of the keys has encrypted it for this owner."""
        nonce, rest = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        if sealed[:1] != _FORM or len(nonce) < _NONCE:
            return None
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, rest, owner.bytes).decode()
            except InvalidTag:
                continue
        return None


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, None, purpose).derive(key)
