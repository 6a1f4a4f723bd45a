"""What a profile remembers: exactly what its lifecycle's conditions need, and nothing else.

A lifecycle watches some touchpoints (one slot per `memories.Watch`); a profile has one `Memory`
per slot. Memories are values: a watch's `observe` gives the next one.
They hold whole numbers only, so the same touchpoints always give the same bytes, and nothing of
what a customer wrote stands in them.

Amounts are whole millionths (`to_amount`), each rounded for itself and added as integers:
a sum does not depend on the order of its parts.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final

from msgspec import Struct

from clm_stage_engine.core.reading import Path, raw_at

MILLIONTHS: Final = 1_000_000
LARGEST: Final = 10**12  # units; a larger amount is taken for a mistake of the sender

_EXACT: Final = Context(prec=40, rounding=ROUND_HALF_EVEN)
_DIGITS: Final = 12  # before the point, as LARGEST says
_PLACES: Final = 6  # after the point, as MILLIONTHS says


class Touch(Struct, frozen=True, gc=False):
    """One touchpoint as the fold sees it.

    Attributes:
        time: when it happened, µs.
        message_id: the sender's id, never empty; breaks ties of time.
        type: `track`, `identify`, `page`, `screen`, `group` or `alias`.
        event: the name of a tracked event.
        body: the event's JSON, read only where a condition needs a property.
    """

    time: int
    message_id: str
    type: str
    event: str | None
    body: bytes


class Kept(Touch, frozen=True, gc=False):
    """A touchpoint out of the history, with what was told of it when it was counted.

    Attributes:
        channel: how the customer came to it; None where nothing told.
        campaign: the campaign's name.
    """

    channel: str | None
    campaign: str | None


class Tally(Struct, frozen=True, gc=False, array_like=True):
    """Amounts and their times; other watches than `Tallied` say what they keep in it.

    Attributes:
        total: all amounts, in millionths; a Decimal because it may outgrow 64 bits.
        times: when those inside the longest window happened, oldest first.
        amounts: these, in millionths, in the same order.
    """

    total: Decimal = Decimal(0)
    times: tuple[int, ...] = ()
    amounts: tuple[int, ...] = ()


class Memory(Struct, frozen=True, gc=False, array_like=True):
    """What is remembered for one watch; others than `Tallied` say what they keep in it.

    Attributes:
        total: how often it happened, where a condition counts without a window.
        times: its newest times, oldest first; as many as conditions need.
        tallies: one per watched property.
    """

    total: int = 0
    times: tuple[int, ...] = ()
    tallies: tuple[Tally, ...] = ()


Facts = tuple[Memory, ...]


def to_amount(number: bytes) -> int | None:
    """Write a JSON number as whole millionths, half to even; what is no sensible number is None.

    Args:
        number: the text of any JSON value; never read through a float.
    """
    whole, point, decimals = number.partition(b".")
    if len(whole) <= _DIGITS and whole.isdigit():
        if not point:
            return int(whole) * MILLIONTHS
        if len(decimals) <= _PLACES and decimals.isdigit():
            return int(whole + decimals.ljust(_PLACES, b"0"))
    try:
        value = Decimal(number.decode())
    except (InvalidOperation, UnicodeDecodeError):
        return None
    if not value.is_finite() or value.adjusted() >= _DIGITS:
        return None
    return int(_EXACT.to_integral_value(_EXACT.scaleb(value, _PLACES)))


def reader(path: Path) -> Callable[[bytes], int | None]:
    """Give a function that reads the amount at a path of a JSON body; the rest is skipped.

    A body without that path, or with something there that is no number, has no amount: None.
    """
    find = raw_at(path)

    def read(body: bytes) -> int | None:
        text = find(body)
        return None if text is None else to_amount(text)

    return read
