"""What a test's own broker has written, batch by batch: evidence where a test about it fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiokafka.record.control_record import ABORT_MARKER, ControlRecord
from aiokafka.record.memory_records import MemoryRecords


def written(home: Path, topic: str, partition: int) -> str:
    """Give a line per batch of a partition: offsets, whose it is, and what it holds or ends.

    Args:
        home: the broker's folder.
        topic: whose.
        partition: which.
    """
    lines: list[str] = []
    for file in sorted(home.rglob(f"{topic}-{partition}/*.log")):
        batches = MemoryRecords(file.read_bytes())
        while batches.has_next():
            lines.append(_line(batches.next_batch()))
    return f"{topic} {partition}:\n" + "\n".join(lines)


def _line(batch: Any) -> str:  # Any: brokers have had one format since Kafka 4
    whose = f"producer {batch.producer_id} epoch {batch.producer_epoch} from {batch.base_sequence}"
    records = [*batch]
    if batch.is_control_batch:
        aborts = ControlRecord.parse(records[0].key) == ABORT_MARKER
        holds = "aborted" if aborts else "committed"
    else:
        holds = " ".join((it.value or b"").decode() for it in records)
    return f"{batch.base_offset}-{batch.next_offset - 1} {whose}: {holds}"
