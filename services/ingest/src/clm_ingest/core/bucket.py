"""A token bucket: so many events a second, and so many at once after a quiet time."""

import math
from typing import Final

from msgspec import Struct

from clm_common.instant import SECOND
from clm_ingest.core.policy import RateLimit

LONGEST_WAIT: Final = 300
"""Seconds; SDKs do not wait longer."""


class Bucket(Struct, frozen=True):
    """How much may be sent.

    Attributes:
        tokens: events that may come now; below zero after a batch that was larger than the burst.
        at: µs, when that was so.
    """

    tokens: float
    at: int


class Taken(Struct, frozen=True):
    """What became of a request.

    Attributes:
        bucket: what is left.
        wait: seconds until the same request may be taken; None if it was.
    """

    bucket: Bucket
    wait: int | None = None


def take(bucket: Bucket | None, rate: RateLimit, events: int, now: int) -> Taken:
    """Take so many events out of a bucket, all or none.

    A batch that is larger than the burst is taken from a full bucket, which owes the rest: else it
    could never be sent.

    Args:
        bucket: as it was left; None is full.
        rate: how it fills.
        events: how many.
        now: µs.
    """
    tokens = _filled(bucket, rate, now)
    needed = min(events, rate.burst)
    if tokens >= needed:
        return Taken(Bucket(tokens - events, now))
    seconds = math.ceil((needed - tokens) / rate.events_per_second)
    return Taken(Bucket(tokens, now), max(1, min(LONGEST_WAIT, seconds)))


def _filled(bucket: Bucket | None, rate: RateLimit, now: int) -> float:
    if bucket is None:
        return float(rate.burst)
    passed = max(0, now - bucket.at) / SECOND
    return min(float(rate.burst), bucket.tokens + passed * rate.events_per_second)
