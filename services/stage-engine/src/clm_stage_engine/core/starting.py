"""Where a fold through a course goes on when older touchpoints were folded into a snapshot.

Somebody stands in the era that made the snapshot, where the course still leads there; then nothing
is lost. Otherwise in the era that decides at the snapshot's cut, which goes on as any other
definition does from a snapshot that it did not make.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from clm_stage_engine.core.eras import Course, definition_of
from clm_stage_engine.core.facts import Facts, Touch
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.core.resuming import NOTHING, Beginning, begin, beginning, leader
from clm_stage_engine.core.slots import Slot, carry
from clm_stage_engine.core.snapshot import Snapshot


class Base(Struct, frozen=True):
    """What was remembered at a snapshot's cut, of touchpoints that are there no more.

    Attributes:
        cut: the instant, µs.
        slots: what the facts are.
        facts: what was remembered.
    """

    cut: int
    slots: Sequence[Slot]
    facts: Facts

    def carried(self, lifecycle: Lifecycle) -> tuple[Facts, bool]:
        """Give the same for a definition, and whether all that it asks for was remembered."""
        return carry(self.facts, self.slots, lifecycle.slots, lifecycle.watches)


class Start(Struct, frozen=True):
    """Where a fold goes on.

    Attributes:
        beginning: the state and what led there.
        number: the era that decides.
        crossed: somebody began in an earlier one.
        base: what was remembered there; None at the first touchpoint.
    """

    beginning: Beginning
    number: int = 0
    crossed: bool = False
    base: Base | None = None


AT_FIRST: Final = Start(NOTHING)
"""The start of whoever has no snapshot."""


def start(
    course: Course, own: UUID, snapshots: Mapping[UUID, Snapshot], touches: Iterable[Touch]
) -> Start:
    """Give the start of a profile from the snapshots of its identities; see `beginning`.

    Args:
        course: the definitions that decide.
        own: the profile's id.
        snapshots: by identity.
        touches: the touchpoints that are kept.
    """
    if course.only is not None:
        return Start(beginning(course.only, own, snapshots, touches))
    leading, count = leader(own, snapshots, touches)
    if leading is None:
        return Start(replace(NOTHING, touchpoints=count))
    first = leading.state.first_seen
    number = course.standing(first, leading.cut)
    made_in = course.number(leading.definition, first)
    if made_in is not None and made_in >= number:
        number = made_in
        leading = replace(leading, definition=definition_of(leading.definition))
    lifecycle = course.eras[number].lifecycle
    begun = replace(begin(lifecycle, leading), touchpoints=count)
    facts = lifecycle.blank if begun.state is None else begun.state.facts
    base = Base(begun.cut, lifecycle.slots, facts)
    return Start(begun, number, number != course.began(first), base)
