"""Derived ids: the same facts always give the same id, so that a repeat can be recognised.

They are UUIDs of version 5 (RFC 9562). `of` makes the id out of its 16 bytes: a hot path passes its
database driver's own class, which is cheaper to hash, compare and write than the library's.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha1
from typing import Final
from uuid import UUID

NAMESPACE: Final = UUID("6f1d2f0a-6e1c-5c1e-9b7e-0a4d8a5c3b11")

USER_ID: Final = "user_id"
ANONYMOUS_ID: Final = "anonymous_id"

Make = Callable[[bytes], UUID]
"""Makes an id out of its 16 bytes."""


def _uuid(data: bytes) -> UUID:
    return UUID(bytes=data)


def profile_id(workspace: str, kind: str, value: str, *, of: Make = _uuid) -> UUID:
    """Give the id of the profile that an identifier has on its own.

    Args:
        workspace: the workspace's key.
        kind: `USER_ID` or `ANONYMOUS_ID`.
        value: the identifier as it was sent.
        of: makes the id.
    """
    return of(_derived(NAMESPACE, f"{workspace}:{kind}:{value}"))


def change_id(profile: UUID, *parts: object, of: Make = _uuid) -> UUID:
    """Give the id of a stage change from what makes it that change.

    Args:
        profile: the profile it belongs to.
        parts: lifecycle, instant (µs), source, target and cause, in this order.
        of: makes the id.
    """
    return of(_derived(profile, "\x1f".join(["" if it is None else str(it) for it in parts])))


def delivery_id(profile: UUID, journey: str, step: str, enrolment: str) -> UUID:
    """Give the id of one message of one journey to one person."""
    return _uuid(_derived(profile, f"{journey}\x1f{step}\x1f{enrolment}"))


def move_id(workspace: str, profile: UUID, key: str) -> UUID:
    """Give the message id of a move by hand that a caller named by a key."""
    return _uuid(_derived(profile, f"move\x1f{workspace}\x1f{key}"))


def decision_id(workspace: str, *parts: object, of: Make = _uuid) -> UUID:
    """Give the id of a decision about who is one person from what makes it that decision.

    Args:
        workspace: the workspace's key.
        parts: of an alias `alias` and both identities, the lesser first; of any other decision
            `decision` and its `source/message id`.
        of: makes the id.
    """
    return of(_derived(NAMESPACE, "\x1f".join([f"{workspace}:decision", *map(str, parts)])))


def letter_id(topic: str, partition: int, offset: int) -> UUID:
    """Give the id of a dead letter.

    Args:
        topic: of the record that was refused; of the letter itself if it was no record.
        partition: likewise.
        offset: likewise.
    """
    return _uuid(_derived(NAMESPACE, f"letter:{topic}:{partition}:{offset}"))


def _derived(namespace: UUID, name: str) -> bytes:
    """Give the bytes of `uuid.uuid5(namespace, name)`, at a third of its cost."""
    data = bytearray(sha1(namespace.bytes + name.encode(), usedforsecurity=False).digest()[:16])
    data[6] = data[6] & 0x0F | 0x50  # the version, 5
    data[8] = data[8] & 0x3F | 0x80  # the variant
    return bytes(data)
