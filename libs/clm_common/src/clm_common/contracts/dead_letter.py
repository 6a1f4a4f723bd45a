"""A dead letter: what could not be processed, why, and its original bytes, to be replayed."""

from __future__ import annotations

from msgspec import Struct


class DeadLetter(Struct, frozen=True, omit_defaults=True):
    """One refused event or record, on `<topic>.dlq`.

    Attributes:
        reason: a stable slug, for example `touchpoint.identity_missing`.
        detail: a sentence that says what, where and what to do.
        at: when it was refused, RFC 3339.
        original: the original bytes, base64 in JSON.
        workspace: the workspace's key, when known.
        source: the source it came from, when known.
        message_id: its id, when it had one.
        index: its place in the batch it was sent in.
        topic: the topic it was read from, when it was a record.
        partition: likewise.
        offset: likewise.
        key: the record's key, base64 in JSON.
        headers: the record's headers; values that are not UTF-8 have replacement characters. Of a
            webhook, those of the request that its mapping reads; of a request that could not be
            opened, those that say how it is read.
        kind: the type of a single call, which its route said and the event may not.
        hook: the webhook it was sent to, whose mapping could not read it.
        marks: of an event that came over HTTP, those that its request said: `internal`,
            `historical`. A replay keeps them.
        request: of a request that could not be opened, its method, route and query, such as
            `POST /v1/batch`; the original is its body, or the query where there is none.
        truncated: only the beginning of such a request is kept.
    """

    reason: str
    detail: str
    at: str
    original: bytes
    workspace: str | None = None
    source: str | None = None
    message_id: str | None = None
    index: int | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    key: bytes | None = None
    headers: dict[str, str] | None = None
    kind: str | None = None
    hook: str | None = None
    marks: tuple[str, ...] = ()
    request: str | None = None
    truncated: bool = False
