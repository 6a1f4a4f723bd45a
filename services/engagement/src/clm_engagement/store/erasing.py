"""Forgetting people: what is kept of them goes, who wants no messages stays known by hash alone."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from clm_common.contracts.journey import ProfileErased
from clm_common.runtime.handler import Connection
from clm_common.store import forgotten

_IDENTITIES: Final = """
    SELECT id FROM identity WHERE profile_id = ANY($1::uuid[]) OR id = ANY($1::uuid[])
"""

_MESSAGES: Final = """
    WITH gone AS (
        DELETE FROM message
        WHERE profile_id = ANY($1::uuid[]) OR person_id = ANY($1::uuid[]) RETURNING id)
    UPDATE suppression SET message_id = NULL FROM gone WHERE message_id = gone.id
"""

_ENTRIES: Final = """
    DELETE FROM stage_entry AS known
    USING unnest($1::uuid[], $2::bigint[]) AS erased (profile_id, version)
    WHERE known.profile_id = erased.profile_id AND known.version <= erased.version
"""


async def forget(tx: Connection, erased: Collection[ProfileErased]) -> None:
    """Delete what is kept of erased people; messages that are being sent just now, too.

    Messages before identities, in the order in which the queue locks them.
    """
    if not erased:
        return
    profiles = [it.profile_id for it in erased]
    identities = [row["id"] for row in await tx.fetch(_IDENTITIES, profiles)]
    people = list({*profiles, *identities})
    await tx.execute(_MESSAGES, people)
    await tx.execute(_ENTRIES, profiles, [it.version for it in erased])
    await tx.execute("DELETE FROM trait WHERE identity_id = ANY($1::uuid[])", people)
    await tx.execute("DELETE FROM identity WHERE id = ANY($1::uuid[])", people)
    await forgotten.note(tx, erased)
