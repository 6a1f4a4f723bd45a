"""The topics: name, partitions, retention and cleanup, said once.

`clm up` or a deploy job creates them; brokers never auto-create; services check them at start.
"""

from __future__ import annotations

import zlib
from typing import Final

from msgspec import Struct

DAY_MS: Final = 86_400_000


class Topic(Struct, frozen=True):
    """One topic as it must be configured.

    Attributes:
        name: its name.
        partitions: their number; changing it moves keys, so it is never changed silently.
        retention_ms: how long records are kept; -1 for ever. Ignored when compacted.
        compacted: keep the newest record per key instead of deleting by age.
        title: what flows through it, in one line.
        public: whether other teams may subscribe to it.
    """

    name: str
    partitions: int
    retention_ms: int
    title: str
    compacted: bool = False
    public: bool = False

    def config(self, *, replicas: int = 1) -> dict[str, str]:
        """Give the broker's settings for this topic with so many replicas."""
        cleanup = {"cleanup.policy": "compact" if self.compacted else "delete"}
        retention = {} if self.compacted else {"retention.ms": str(self.retention_ms)}
        in_sync = {"min.insync.replicas": str(max(1, replicas - 1))}
        return cleanup | retention | in_sync


PARTITIONS: Final = 6

TOUCHPOINTS: Final = Topic(
    "clm.touchpoints", PARTITIONS, 7 * DAY_MS, "Every touchpoint as ingest admitted it"
)
TOUCHPOINTS_DLQ: Final = Topic(
    "clm.touchpoints.dlq", 1, 30 * DAY_MS, "Touchpoints that were refused, with the reason"
)
JOURNEY: Final = Topic(
    "clm.journey", PARTITIONS, 7 * DAY_MS, "One ordered river of facts per profile"
)
JOURNEY_DLQ: Final = Topic(
    "clm.journey.dlq", 1, 30 * DAY_MS, "Records of the river that a subscriber could not read"
)
STAGE_CHANGES: Final = Topic(
    "clm.stage-changes", PARTITIONS, 7 * DAY_MS, "Stage changes for other services", public=True
)
PUBLISHED: Final = Topic(
    "clm.stage-engine.published",
    PARTITIONS,
    -1,
    "How far each partition's facts are published",
    compacted=True,
)
ERASURES: Final = Topic(
    "clm.erasures", 1, 30 * DAY_MS, "Answers of services that have erased what they kept"
)
ERASURES_DLQ: Final = Topic(
    "clm.erasures.dlq", 1, 30 * DAY_MS, "Answers that stage-engine could not read"
)

ALL: Final = (
    TOUCHPOINTS,
    TOUCHPOINTS_DLQ,
    JOURNEY,
    JOURNEY_DLQ,
    STAGE_CHANGES,
    PUBLISHED,
    ERASURES,
    ERASURES_DLQ,
)


def partition_of(key: bytes, partitions: int) -> int:
    """Give the partition of a key: CRC-32 modulo the count (librdkafka's "consistent").

    Every producer of ours uses this one; mixing partitioners would break the order per key.
    """
    return zlib.crc32(key) % partitions


def dead_letters_of(topic: str) -> str:
    """Give the name of the topic that holds another topic's dead letters."""
    return f"{topic}.dlq"
