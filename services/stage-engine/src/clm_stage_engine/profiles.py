"""What the engine keeps of a profile and of an identity, in memory and in rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from clm_common.contracts.ids import USER_ID
from clm_common.contracts.topics import partition_of
from clm_common.instant import SECOND
from clm_stage_engine.core.fold import State
from clm_stage_engine.core.identity import IdentityRow

GRACE: Final = 2 * SECOND
"""How long a deadline that is already past waits for touchpoints still on their way (µs).

While a history is being imported, each touchpoint may postpone the deadline the one before it set;
firing at once would publish lapses only to retract them.
"""

ERASED: Final = ""
"""The definition of a profile that was erased: no definition has this digest."""

LOST: Final = "lost"
"""The definition of a profile that is to be folded again from its history; likewise."""


class Standing(Struct, frozen=True, gc=False):
    """Where a profile stands in a lifecycle that runs beside the main one.

    Attributes:
        lifecycle: its key.
        definition: the digest of the definition that folded it.
        state: where the fold stands.
    """

    lifecycle: str
    definition: str
    state: State


class Entry(Struct, frozen=True, gc=False):
    """A profile at one version.

    Attributes:
        id: the profile's id.
        workspace: its workspace.
        version: 0 where it is not yet in the rows.
        home: the partition whose owner watches its deadlines.
        user_id: the customer's id, where the profile is a known customer's.
        touchpoints: how many it has.
        state: where the fold stands; None where it has no touchpoint (left).
        definition: the digest of the definition that folded it.
        historical: its newest touchpoint was imported from the past.
        parted: an identity has gone from it, so whose its touchpoints are is checked once more.
        further: where it stands in the lifecycles beside the main one, by key; None where none
            ever ran: then nothing is looked up and nothing written.
    """

    id: UUID
    workspace: str
    version: int
    home: int
    user_id: str | None
    touchpoints: int
    state: State | None
    definition: str
    historical: bool = False
    parted: bool = False
    further: tuple[Standing, ...] | None = None

    @property
    def due(self) -> int | None:
        """When its next deadline falls due in whichever lifecycle (µs); None: nothing waits."""
        own = None if self.state is None else self.state.due
        if not self.further:
            return own
        every = (own, *(it.state.due for it in self.further))
        return min((it for it in every if it is not None), default=None)

    def beside(self, key: str) -> Entry:
        """Give the same as it stands in a lifecycle beside the main one."""
        for it in self.further or ():
            if it.lifecycle == key:
                return replace(self, state=it.state, definition=it.definition)
        return replace(self, state=None, definition=LOST)

    def advanced(
        self, state: State | None, touchpoints: int, definition: str, *, historical: bool
    ) -> Entry:
        """Give the next version."""
        return Entry(
            self.id,
            self.workspace,
            self.version + 1,
            self.home,
            self.user_id,
            touchpoints,
            state,
            definition,
            historical,
            self.parted,
            self.further,
        )


def newborn(identity: IdentityRow, partitions: int, definition: str) -> Entry:
    """Give the profile that an identity has on its own, before its first touchpoint."""
    key = f"{identity.workspace}:{identity.value}".encode()
    return Entry(
        id=identity.id,
        workspace=identity.workspace,
        version=0,
        home=partition_of(key, partitions),
        user_id=identity.value if identity.kind == USER_ID else None,
        touchpoints=0,
        state=None,
        definition=definition,
    )


def wakes(entries: Iterable[Entry], now: int) -> dict[UUID, int]:
    """Tell when each profile that has a deadline wants it to be looked at (µs).

    Whoever is to be folded again wants it now.
    """
    found: dict[UUID, int] = {}
    for it in entries:
        if it.definition == LOST:
            found[it.id] = now
        elif (at := it.due) is not None:
            found[it.id] = at if at > now else now + GRACE
    return found
