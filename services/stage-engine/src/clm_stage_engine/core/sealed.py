"""The river as it is published where it is sealed: each fact under the key of whom it is about.

What tells of an erasure stays plain: it says nothing of a person, and whom it is about has no key
any more. A fact of somebody who was erased before it was published is left out, as it could be
read by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from clm_common.bus.columns import Columns
from clm_common.bus.ports import Message, Shared
from clm_common.contracts.envelope import SPECVERSION, Header
from clm_common.contracts.journey import ProfileErased
from clm_common.contracts.sealing import TYPE, Seal, name_of
from clm_stage_engine.core.river import source_of

_OWN: Final = ("ce_subject", "ce_id")
_BYTES: Final[Header] = ("content-type", b"application/octet-stream")
_PLAIN: Final = ProfileErased.__struct_config__.tag


class Head(Struct, frozen=True, gc=False):
    """What sealing asks of a fact that is written already."""

    kind: str
    workspace: str
    profile_id: UUID
    version: int

    @property
    def is_plain(self) -> bool:
        """Whether it is published as it is."""
        return self.kind == _PLAIN


class Grant(Struct, frozen=True):
    """A person's key, and the version of their profile from which on it seals."""

    seal: Seal
    since: int


_head: Final = msgspec.json.Decoder(Head).decode


def heads_of(messages: Sequence[Message]) -> list[Head]:
    """Read what sealing asks of some facts of the river."""
    return [_head(it.value) for it in messages]


def sealed(
    topic: str, messages: Sequence[Message], heads: Sequence[Head], grants: Mapping[UUID, Grant]
) -> Columns:
    """Seal facts for a topic.

    Args:
        topic: the river or a copy of it.
        messages: the facts.
        heads: theirs.
        grants: the keys of people who have one.
    """
    found = Columns(topic, _OWN)
    subjects, names = found.headers
    for message, head in zip(messages, heads, strict=True):
        value, shared = message.value, message.shared
        if head.is_plain:
            name = dict(message.headers)["ce_id"]
        else:
            grant = grants.get(head.profile_id)
            if grant is None or head.version < grant.since:
                continue
            value, shared = grant.seal.seal(value, topic, message.key), _shared(head.workspace)
            name = name_of(value)
        found.keys.append(message.key)
        found.values.append(value)
        found.shared.append(shared)
        subjects.append(message.key)
        names.append(name)
    return found


@lru_cache(maxsize=1024)
def _shared(workspace: str) -> Shared:
    return Shared((SPECVERSION, source_of(workspace), _BYTES, ("ce_type", TYPE.encode())))
