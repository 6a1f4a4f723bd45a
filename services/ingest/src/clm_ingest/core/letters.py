"""What the quarantine's index says of a dead letter; its original stays on the topic."""

import msgspec
from msgspec import Struct

from clm_common.bus.ports import Record
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.ids import letter_id
from clm_common.contracts.touchpoint import source_of
from clm_common.errors import InvalidMessage
from clm_common.instant import from_rfc3339

TOO_LARGE = "touchpoint.too_large"
"""The reason of an event of which only the beginning is kept."""

_LONGEST = 2_000
_MILLISECOND = 1_000

_decode = msgspec.json.Decoder(DeadLetter).decode


class Entry(Struct, frozen=True):
    """One line of the index.

    Attributes:
        id: the letter's id (a UUID); a letter that was written twice has it twice.
        workspace: the workspace's key; None if it cannot be told.
        source: the source's id; likewise.
        reason: why it was refused, a slug.
        detail: likewise, a sentence.
        message_id: the event's id, if it had one.
        at: µs; when it was refused.
        topic: the topic it was read from; None if it came over HTTP.
        size: bytes of the original that are kept.
        truncated: only the beginning is kept.
        partition: where the letter is.
        offset: likewise.
    """

    id: str
    workspace: str | None
    source: str | None
    reason: str
    detail: str
    message_id: str | None
    at: int
    topic: str | None
    size: int
    truncated: bool
    partition: int
    offset: int


def letter_of(record: Record) -> DeadLetter:
    """Read a dead letter; a record that is none is one itself."""
    try:
        letter = _decode(record.value or b"")
        from_rfc3339(letter.at)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        workspace, _, _ = (record.key or b"").decode(errors="replace").partition(":")
        return DeadLetter(
            reason="letter.unreadable",
            detail=f"what lies on the topic of dead letters is none: {error}",
            at="1970-01-01T00:00:00Z",
            original=record.value or b"",
            workspace=workspace or None,
        )
    return letter


def entry_of(record: Record) -> Entry:
    """Give the index's line for a record of the topic of dead letters."""
    letter = letter_of(record)
    place = letter.topic, letter.partition, letter.offset
    topic, partition, offset = place
    if topic is None or partition is None or offset is None:
        topic, partition, offset = record.topic, record.partition, record.offset
    workspace, source = sender_of(letter)
    headers = letter.headers or {}
    at = from_rfc3339(letter.at) or record.timestamp * _MILLISECOND
    return Entry(
        id=str(letter_id(topic, partition, offset)),
        workspace=_storable(workspace),
        source=_storable(source),
        reason=_storable(letter.reason) or "unknown",
        detail=_storable(letter.detail) or "",
        message_id=_storable(letter.message_id or headers.get("ce_id")),
        at=at,
        topic=letter.topic,
        size=len(letter.original),
        truncated=is_truncated(letter),
        partition=record.partition,
        offset=record.offset,
    )


def is_truncated(letter: DeadLetter) -> bool:
    """Tell whether only the beginning of a letter's original is kept."""
    return letter.truncated or letter.reason == TOO_LARGE


def sender_of(letter: DeadLetter) -> tuple[str | None, str | None]:
    """Give workspace and source of a letter, as far as they can be told.

    Of a record they stand in its `ce_source`; without one its key begins with the workspace.
    """
    if letter.workspace is not None:
        return letter.workspace, letter.source
    try:
        return source_of((letter.headers or {}).get("ce_source", ""))
    except InvalidMessage:
        workspace, mark, _ = (letter.key or b"").decode(errors="replace").partition(":")
        return (workspace if mark and workspace else None), None


def _storable(text: str | None) -> str | None:
    """Give text that PostgreSQL can keep and an index can hold."""
    return None if text is None else text[:_LONGEST].replace("\x00", "\ufffd")
