"""A batch's facts in order of seq, as rows and as what is published."""

from __future__ import annotations

from collections import defaultdict
from uuid import UUID

from msgspec import Struct, field

from clm_common.contracts.journey import IdentityMoved, JourneyMessage, TouchpointApplied
from clm_common.contracts.stage_change import StageChange
from clm_common.instant import to_rfc3339
from clm_stage_engine.arrivals import Arrival
from clm_stage_engine.core import river
from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.identity import Moved
from clm_stage_engine.profiles import Entry
from clm_stage_engine.store import packing


class Piece(Struct, frozen=True):
    """What a journal notes about one profile.

    Attributes:
        facts: its facts in order, a touchpoint with its packed row.
        explanations: packed rows.
    """

    facts: list[tuple[JourneyMessage, bytes | None]] = field(default_factory=list)
    explanations: list[bytes] = field(default_factory=list)


class Journal:
    """Numbers facts as they are decided.

    Attributes:
        partition: the partition whose owner decided them.
        first: the seq of the first fact.
        history: packed rows of touchpoints.
        changes: stage changes with their seq.
        explanations: packed rows of explanations.
        moves: moved identities with their seq.
        facts: what is published, all of them in order.
    """

    def __init__(self, partition: int, first: int, channels: Channels) -> None:
        """Make an empty one; `channels` tells where touchpoints came from."""
        self.partition = partition
        self._origin = channels.origin
        self.first = first
        self.history: list[bytes] = []
        self.changes: list[tuple[int, StageChange]] = []
        self.explanations: list[bytes] = []
        self.moves: list[tuple[int, IdentityMoved]] = []
        self.facts: list[JourneyMessage] = []
        self._next = first

    @property
    def count(self) -> int:
        """How many facts there are."""
        return self._next - self.first

    @property
    def last(self) -> int:
        """The seq of the last fact; `first - 1` where there is none."""
        return self._next - 1

    def touchpoint(self, arrival: Arrival, identity: UUID, entry: Entry) -> None:
        """Note that a touchpoint was counted, in the version after `entry`."""
        origin = self._origin(arrival.body, arrival.told)
        row = packing.history(self.partition, self._next, arrival, identity, entry, origin)
        self.history.append(row)
        fact = TouchpointApplied(
            arrival.workspace,
            entry.id,
            entry.version + 1,
            arrival.stamp,
            arrival.source,
            arrival.sent_id,
            river.raw(arrival.body),
            arrival.marks,
            origin.channel,
            origin.campaign,
            origin.content,
        )
        self._note(fact)

    def change(self, fact: StageChange, record: bytes | None = None) -> None:
        """Note a stage change or its retraction; `record` explains it (see `core.explain`)."""
        self.changes.append((self._next, fact))
        self.explained(fact, record)
        self._note(fact)

    def explained(self, fact: StageChange, record: bytes | None) -> None:
        """Note the explanation of a change, which may stand already."""
        if record is not None:
            self.explanations.append(packing.explanation(fact, record))

    def moved(self, entry: Entry, move: Moved, *, emptied: bool) -> None:
        """Note, for one of the two profiles, that an identity moved."""
        fact = IdentityMoved(
            workspace=entry.workspace,
            profile_id=entry.id,
            version=entry.version + 1,
            identity_id=move.identity_id,
            from_profile=move.source,
            to_profile=move.target,
            time=to_rfc3339(move.time),
            emptied=emptied,
            moves=move.moves,
        )
        self.moves.append((self._next, fact))
        self._note(fact)

    def pieces(self) -> dict[UUID, Piece]:
        """Part what is noted by profile; facts keep the order in which they stand."""
        found = defaultdict[UUID, Piece](Piece)
        rows = iter(self.history)
        for fact in self.facts:
            row = next(rows) if isinstance(fact, TouchpointApplied) else None
            found[fact.profile_id].facts.append((fact, row))
        for explanation in self.explanations:
            found[packing.explained(explanation)].explanations.append(explanation)
        return dict(found)

    def take_over(self, piece: Piece) -> None:
        """Note once more what was decided about somebody in an earlier try of the batch."""
        for fact, row in piece.facts:
            if row is not None:
                self.history.append(packing.renumbered(row, self._next))
            elif isinstance(fact, StageChange):
                self.changes.append((self._next, fact))
            elif isinstance(fact, IdentityMoved):
                self.moves.append((self._next, fact))
            self._note(fact)
        self.explanations += piece.explanations

    def _note(self, fact: JourneyMessage) -> None:
        self.facts.append(fact)
        self._next += 1
