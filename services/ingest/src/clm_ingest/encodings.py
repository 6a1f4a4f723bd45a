"""Undoes a body's `Content-Encoding` within a limit, so that a bomb is stopped as it unfolds.

A proxy may have packed once more what a sender had packed: of a list the last is undone first.
"""

import zlib
from collections.abc import Callable
from typing import Final

import cramjam

from clm_common.errors import Rejected
from clm_ingest.body import Hold, too_large

_GZIP: Final = 16 + zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS
_MAGIC: Final = b"\x1f\x8b"
_MOST: Final = 2
"""Codings that a body may be in, one around the other; each costs up to the limit to undo."""

_FULL: Final = "write whole buffer"
"""What cramjam says when what comes out does not fit."""

_ZLIB_CHECK: Final = 31
_ZLIB_METHOD: Final = 8

Inflate = Callable[[bytes, int], bytes]
"""Inflates a body to at most so many bytes, or to more, which is then refused."""


class _Broken(Exception):
    """The body is not what its encoding says."""


def inflate(body: bytes, encoding: bytes, *, limit: int, hold: Hold) -> bytes:
    """Undo a body's encoding; gzip is known by its first bytes, too, as browsers send it unnamed.

    Args:
        body: as it was sent.
        encoding: the `Content-Encoding` header, of several all of them with commas between.
        limit: bytes it may have, inflated.
        hold: what it takes of the budget.

    Raises:
        Rejected: 413 if it inflates beyond the limit, 400 if it is broken, 415 for an encoding we
            do not know, or too many of them.
        Unavailable: too much is in memory.
    """
    names = [name for each in encoding.split(b",") if (name := each.strip().lower()) not in _NONE]
    if not names and body[:2] == _MAGIC:
        names = [b"gzip"]
    if len(names) > _MOST or not _BY_NAME.keys() >= {*names}:
        known = ", ".join(_NAMES)
        detail = f"Content-Encoding may be {known}, {_MOST} of them, or be left out"
        raise Rejected(415, "body.encoding", detail)
    for name in reversed(names):
        body = _undone(name, body, limit, hold)
    return body


def _undone(name: bytes, body: bytes, limit: int, hold: Hold) -> bytes:
    try:
        inflated = _BY_NAME[name](body, limit)
    except _Broken as error:
        shown = name.decode()
        raise Rejected(400, f"body.{shown}", f"the body is not {shown}: {error}") from None
    if len(inflated) > limit:
        raise too_large(limit)
    hold.take(len(inflated))
    return inflated


def _gunzip(body: bytes, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while body and size <= limit:  # one turn for each member; nearly always there is one
        part, body = _unzip(body, _GZIP, limit - size)
        size += len(part)
        parts.append(part)
    return b"".join(parts)


def _deflate(body: bytes, limit: int) -> bytes:
    """Inflate what RFC 9110 means by deflate (zlib), or what many senders do (without a head)."""
    head = int.from_bytes(body[:2], "big")
    headed = head >> 8 & 15 == _ZLIB_METHOD and head % _ZLIB_CHECK == 0
    inflated, rest = _unzip(body, zlib.MAX_WBITS if headed else _RAW, limit)
    if rest and len(inflated) <= limit:
        raise _Broken("something follows it")
    return inflated


def _unzip(body: bytes, window: int, limit: int) -> tuple[bytes, bytes]:
    """Inflate one zlib stream; gives what follows it, too."""
    inflater = zlib.decompressobj(window)
    try:
        inflated = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise _Broken(str(error)) from None
    if not inflater.eof and len(inflated) <= limit:
        raise _Broken("it ends too early")
    return inflated, inflater.unused_data


def _with_cramjam(codec: Callable[[bytes, bytearray], int]) -> Inflate:
    def inflate(body: bytes, limit: int) -> bytes:
        out = bytearray(limit + 1)
        try:
            size = codec(body, out)
        except cramjam.DecompressionError as error:
            if _FULL in str(error):
                return bytes(out)
            raise _Broken(str(error)) from None
        return bytes(out[:size])

    return inflate


_BY_NAME: Final[dict[bytes, Inflate]] = {
    b"gzip": _gunzip,
    b"x-gzip": _gunzip,
    b"deflate": _deflate,
    b"zstd": _with_cramjam(cramjam.zstd.decompress_into),
    b"br": _with_cramjam(cramjam.brotli.decompress_into),
}
_NONE: Final = frozenset([b"", b"identity"])
_NAMES: Final = ("gzip", "deflate", "zstd", "br")
