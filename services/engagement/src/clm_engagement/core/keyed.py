"""Hashes of addresses as they are kept: keyed, so that nobody without the key can guess at them.

An address has too few possible values for a plain hash to hide it. In memory the plain one names an
address (see `contact.address_hash`); what is written is an HMAC of it. Rows from before there was a
key hold the plain one: they are recognised, as are those of keys that were replaced.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import Final

_PURPOSE: Final = b"clm.address.v1\0"


class Keyed:
    """Says how a hash is kept."""

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        """Make it.

        Args:
            keys: random texts, the newest first; without any, hashes are kept as they are.
        """
        self._keys = tuple(keys)

    def kept(self, hashed: bytes) -> bytes:
        """Give what is written for a hash from now on."""
        return self.forms(hashed)[0]

    def forms(self, hashed: bytes) -> list[bytes]:
        """Give all that may have been written for a hash, the newest first."""
        keyed = [hmac.digest(key, _PURPOSE + hashed, "sha256") for key in self._keys]
        return [*keyed, hashed]
