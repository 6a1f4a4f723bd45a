"""Ids as the driver's own UUIDs: what is hashed, compared, written and read back is one class."""

from __future__ import annotations

from functools import partial
from typing import Final

from asyncpg.pgproto.pgproto import UUID

from clm_common.contracts import ids

profile_id: Final = partial(ids.profile_id, of=UUID)
"""See `clm_common.contracts.ids.profile_id`."""

change_id: Final = partial(ids.change_id, of=UUID)
"""See `clm_common.contracts.ids.change_id`."""

decision_id: Final = partial(ids.decision_id, of=UUID)
"""See `clm_common.contracts.ids.decision_id`."""
