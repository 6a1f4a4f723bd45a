"""The answer of a service that has erased what it kept of a profile, on `clm.erasures`."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from clm_common.errors import InvalidMessage


class ErasureConfirmed(Struct, frozen=True, gc=False):
    """A service keeps nothing of one profile any more; nothing in here tells whose it was.

    Attributes:
        erasure: the erasure's id.
        part: which of its profiles this is about.
        service: who answers, for example `metrics`.
        time: when it was done, RFC 3339.
    """

    erasure: UUID
    part: int
    service: str
    time: str


_decoder: Final[msgspec.json.Decoder[ErasureConfirmed]] = msgspec.json.Decoder(ErasureConfirmed)


def decode(value: bytes) -> ErasureConfirmed:
    """Read one answer.

    Raises:
        InvalidMessage: it is none.
    """
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidMessage("erasure.invalid", f"not an answer to an erasure: {error}") from error
