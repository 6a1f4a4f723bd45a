"""A share of the people, always the same ones.

Ids are hashes, so those up to a bound are a fair sample, a larger share holds a smaller one, and a
canary decides about the very people that a sampled diff looked at.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

_LAST: Final = UUID(int=2**128 - 1)


def bound(share: float) -> UUID:
    """Give the last id of that share (0 to 1) of all ids."""
    return _LAST if share >= 1 else UUID(int=int(share * 2**64) << 64)
