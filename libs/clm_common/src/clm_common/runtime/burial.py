"""Buries what can never be processed: each refused record becomes a dead letter with its reason."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from clm_common import telemetry
from clm_common.bus.ports import Message, Producer
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.topics import dead_letters_of
from clm_common.instant import to_rfc3339
from clm_common.runtime.handler import Refusal


async def bury(producer: Producer, refused: Sequence[Refusal], *, now: int) -> None:
    """Publish the dead letters of refused records; on return they are acknowledged.

    Called before the batch's commit: after a crash in between, a dead letter may stand there twice,
    with the same topic, partition and offset, but never not at all.

    Args:
        producer: publishes them.
        refused: the records and their reasons.
        now: µs, stamped on each.
    """
    if not refused:
        return
    await producer.publish([_letter(each, now) for each in refused])
    for each in refused:
        telemetry.DEAD_LETTERS.labels(each.error.slug).inc()


def _letter(refusal: Refusal, now: int) -> Message:
    record = refusal.record
    letter = DeadLetter(
        reason=refusal.error.slug,
        detail=refusal.error.message,
        at=to_rfc3339(now),
        original=record.value or b"",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        headers={name: value.decode(errors="replace") for name, value in record.headers},
    )
    place = f"{record.topic}:{record.partition}:{record.offset}"
    return Message(
        topic=dead_letters_of(record.topic), key=place.encode(), value=msgspec.json.encode(letter)
    )
