"""How far a partition's facts are published: the records of `clm.stage-engine.published`."""

from __future__ import annotations

from msgspec import Struct


class Published(Struct, frozen=True):
    """Written in the same Kafka transaction as the facts it speaks of.

    Attributes:
        seq: the last sequence number published; facts are numbered from 1 per partition.
    """

    seq: int
