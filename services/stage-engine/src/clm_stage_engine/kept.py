"""What stands of a batch that lost a race: all that it decided about those who did not race.

The transaction was rolled back, so everything is written again, and checked again. But whoever did
not race is neither loaded nor folded a second time, provided that the next try finds the same
touchpoints and moves of them: the decision is the same function of the same values, whose versions
are compared when they are written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from clm_common.bus.ports import Record
from clm_stage_engine.core.identity import Moved
from clm_stage_engine.folding import Claimed
from clm_stage_engine.gathering import NOBODY, Intake
from clm_stage_engine.journal import Journal, Piece
from clm_stage_engine.profiles import ERASED, Entry
from clm_stage_engine.rules import Rules
from clm_stage_engine.sweeping import Stretch


class Folded(Struct, frozen=True):
    """What the folding of a giant came to, beside the batches; see `aside`.

    Attributes:
        rules: what decided.
        before: the version that was folded.
        after: the next one.
        piece: the facts about it.
    """

    rules: Rules
    before: int
    after: Entry
    piece: Piece


class Due(Struct, frozen=True):
    """Whom a wake is about.

    Attributes:
        now: the instant, µs.
        entries: those with a deadline at or before it.
        stretch: the piece of a sweep that is done with it.
        folded: giants that have been folded meanwhile.
    """

    now: int
    entries: Sequence[Entry]
    stretch: Stretch | None
    folded: Sequence[Folded] = ()

    @property
    def stale(self) -> Sequence[Entry]:
        """Those who are to be folded again."""
        return () if self.stretch is None else self.stretch.outdated

    def take_over(self, journal: Journal) -> list[Entry]:
        """Give the giants that have been folded, their facts in `journal`."""
        for it in self.folded:
            journal.take_over(it.piece)
        return [it.after for it in self.folded]

    def but(self, done: Collection[Entry]) -> Due:
        """Give the same without those about whom it is decided."""
        ids = {it.id for it in done}
        entries = [it for it in self.entries if it.id not in ids]
        return Due(self.now, entries, self._outdated(it for it in self.stale if it.id not in ids))

    def refreshed(self, raced: Sequence[Entry], rules: Rules) -> Due:
        """Give the same with those who raced as they stand now, as far as it is true of them."""
        now = {it.id: it for it in raced}
        due = [now.get(it.id, it) for it in self.entries]
        stale = [now.get(it.id, it) for it in self.stale]
        return Due(
            self.now,
            [it for it in due if it.due is not None and it.due <= self.now],
            self._outdated(
                it for it in stale if it.definition != ERASED and rules.places(it) is None
            ),
        )

    def _outdated(self, entries: Iterable[Entry]) -> Stretch | None:
        return None if self.stretch is None else replace(self.stretch, outdated=[*entries])


class Basis(Struct, frozen=True):
    """What a batch was decided upon.

    Attributes:
        rules: what decided.
        records: what was read; nothing where a deadline was due.
        intake: what the records hold.
        mine: the touchpoints that count, by profile.
        moved: the identities that went to another profile.
        due: whom it is about where nothing was read.
    """

    rules: Rules
    records: Sequence[Record] = ()
    intake: Intake = NOBODY
    mine: Mapping[UUID, list[Claimed]] = {}
    moved: Sequence[Moved] = ()
    due: Due | None = None


class Kept(Struct, frozen=True):
    """What a batch had decided when it lost a race.

    Attributes:
        basis: upon what.
        raced: the profiles that have changed.
        after: the profiles it changed, at their next version.
        pieces: the facts about each.
    """

    basis: Basis
    raced: AbstractSet[UUID]
    after: Mapping[UUID, Entry]
    pieces: Mapping[UUID, Piece]

    def others(self, journal: Journal) -> list[Entry]:
        """Give the profiles that did not race at their next version, their facts in `journal`."""
        return self.stand(self.after.keys() - self.raced, journal)

    def stand(self, profiles: Iterable[UUID], journal: Journal) -> list[Entry]:
        """Give some profiles as far as they change, and have their facts noted in `journal`."""
        changed = [it for each in profiles if (it := self.after.get(each)) is not None]
        for it in changed:
            if it.id in self.pieces:
                journal.take_over(self.pieces[it.id])
        return changed

    def same(self, mine: Mapping[UUID, list[Claimed]], moved: Sequence[Moved]) -> AbstractSet[UUID]:
        """Tell about whom the next try would decide the same.

        Not about whoever raced, has other touchpoints now, or hangs together with one of these by
        an identity that moves.

        Args:
            mine: the touchpoints that count now.
            moved: the identities that move now.
        """
        before = self.basis
        everybody = {*mine, *before.mine, *_ends(moved), *_ends(before.moved)}
        other = {it for it in everybody if mine.get(it) != before.mine.get(it)}
        other |= self.raced | _ends({*moved} ^ {*before.moved})
        return everybody - _spread(other, moved)


def _ends(moved: Iterable[Moved]) -> set[UUID]:
    return {each for it in moved for each in (it.source, it.target)}


def _spread(profiles: AbstractSet[UUID], moved: Collection[Moved]) -> AbstractSet[UUID]:
    """Add everybody who hangs together with one of these by identities that move."""
    reached = set(profiles)
    while more := {e for it in moved for e in _ends([it]) if reached & _ends([it])} - reached:
        reached |= more
    return reached
