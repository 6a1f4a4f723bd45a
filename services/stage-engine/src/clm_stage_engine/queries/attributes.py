"""Who is found by an attribute: an email address, a phone number, an id of another system.

An attribute belongs to the identities whose touchpoints named it, and so to the profile that has
them now. Of each kind a profile is found by its first few values only, by (time, message id): a
shared till that names a thousand addresses is nobody's.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from clm_common.runtime.handler import Connection
from clm_stage_engine.cursor import Page, cut
from clm_stage_engine.queries import profiles
from clm_stage_engine.queries.profiles import One, one_cursor
from clm_stage_engine.views import ProfilePage

_HOLDERS: Final = """
    SELECT holder.profile_id FROM (
        SELECT DISTINCT mine.profile_id
        FROM identifier AS it JOIN identity AS mine ON mine.id = it.identity_id
        WHERE it.workspace = $1 AND it.kind = $2 AND it.value = $3
    ) AS holder
    WHERE $3 IN (
        SELECT value FROM (
            SELECT DISTINCT ON (it.value) it.value, said_at, said_by COLLATE "C" AS name
            FROM identifier AS it JOIN identity AS mine ON mine.id = it.identity_id
            WHERE mine.profile_id = holder.profile_id AND it.kind = $2
            ORDER BY it.value, said_at, said_by COLLATE "C"
        ) AS said
        ORDER BY said_at, name LIMIT $4
    ) AND holder.profile_id > $5
    ORDER BY holder.profile_id LIMIT $6
"""


async def holders(
    db: Connection, workspace: str, named: tuple[str, str], limit: int, page: Page
) -> ProfilePage:
    """Give the profiles that have an attribute, by id.

    Args:
        db: an open connection.
        workspace: the workspace's key.
        named: kind and value, in its form.
        limit: by how many values of this kind a profile is found.
        page: which page.

    Raises:
        Rejected: the cursor is none of ours.
    """
    place = one_cursor.read(page.cursor) or One(UUID(int=0))
    rows = await db.fetch(_HOLDERS, workspace, *named, limit, place.id, page.limit + 1)
    shown, last = cut(rows, page.limit)
    return ProfilePage(
        profiles=await profiles.several(db, workspace, [row["profile_id"] for row in shown]),
        next=None if last is None else one_cursor.write(One(last["profile_id"])),
    )
