"""A decided batch: its rows, the profiles it changes, and how they are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from uuid import UUID

from msgspec import Struct

from clm_common import telemetry
from clm_common.errors import RaceLost
from clm_common.runtime.handler import Connection, Refusal
from clm_common.runtime.relay import Relay
from clm_stage_engine.cache import Cache
from clm_stage_engine.core import river
from clm_stage_engine.core.identity import IdentityRow, Write
from clm_stage_engine.core.merging import Decision
from clm_stage_engine.journal import Journal
from clm_stage_engine.kept import Basis, Kept
from clm_stage_engine.profiles import Entry
from clm_stage_engine.store import decisions, lateness, saving, writing
from clm_stage_engine.store.lateness import Late
from clm_stage_engine.store.saving import ProfilesRaced
from clm_stage_engine.sweeping import Stretch


class Decided(Struct, frozen=True):
    """What was decided about some records or deadlines of one partition.

    Attributes:
        journal: the facts.
        entries: the profiles at their next version.
        wakes: when each of them wants its deadlines looked at, µs.
        writes: identities to insert or to link.
        relied: the anonymous identities that decided whose a touchpoint is.
        basis: what it was decided upon.
        cache: takes the outcome over once it is committed.
        relay: publishes the facts once they are committed.
        named: attributes that touchpoints named.
        late: touchpoints that came too late to count.
        decisions: about who is one person.
        met: the identities of its touchpoints.
        verdicts: how many touchpoints came to what; see `telemetry.TOUCHPOINTS`.
        blocked: how many identifiers stand for nobody, by kind.
    """

    journal: Journal
    entries: Mapping[UUID, Entry]
    wakes: Mapping[UUID, int]
    writes: Sequence[Write]
    relied: Sequence[IdentityRow]
    basis: Basis
    cache: Cache
    relay: Relay
    named: Sequence[writing.Named] = ()
    late: Sequence[Late] = ()
    decisions: Sequence[Decision] = ()
    met: Sequence[IdentityRow] = ()
    verdicts: Mapping[str, int] = {}
    blocked: Mapping[str, int] = {}

    @property
    def facts(self) -> int:
        """How many sequence numbers it needs."""
        return self.journal.count

    @property
    def refused(self) -> Sequence[Refusal]:
        """The records that can never be processed."""
        return self.basis.intake.refused

    @property
    def _stretch(self) -> Stretch | None:
        """The piece of a sweep that it does."""
        return None if self.basis.due is None else self.basis.due.stretch

    async def write(self, tx: Connection, first_seq: int) -> None:
        """Write everything set-wise.

        Profiles before the check of identities: whoever moves an identity also writes both
        profiles, so that after our version check passed nobody can move one unseen.

        Raises:
            RaceLost: a profile or identity has changed since it was read. Where only profiles did,
                those who did not stand when the same records are decided about again; where an
                identity did, whose the touchpoints are may be wrong, and nothing stands.
        """
        try:
            await self._write(tx, first_seq)
        except ProfilesRaced as error:
            self._evict(error.profiles)
            pieces, after = self.journal.pieces(), self.entries
            self.cache.kept = Kept(self.basis, error.profiles, after, pieces)
            raise
        except BaseException:
            self._evict(None)
            raise

    async def _write(self, tx: Connection, first_seq: int) -> None:
        journal = self.journal
        if first_seq != journal.first:
            raise RaceLost("batch.numbered", f"seq {journal.first} was expected, not {first_seq}")
        await writing.add_identities(tx, [it.row for it in self.writes if it.expected is None])
        await writing.change_identities(
            tx, [(it.row, it.expected) for it in self.writes if it.expected is not None]
        )
        await saving.save_profiles(
            tx, [(entry, self.wakes.get(entry.id)) for entry in self.entries.values()]
        )
        await writing.check_identities(tx, self.relied)
        await writing.add_named(tx, self.named)
        await lateness.add(tx, self.late)
        await decisions.add(tx, self.decisions)
        await writing.append_history(tx, journal.history)
        await writing.append_changes(tx, journal.partition, journal.changes)
        await writing.append_explanations(tx, journal.explanations)
        await writing.append_moves(tx, journal.partition, journal.moves)
        if self._stretch is not None:
            await self._stretch.write(tx)

    def committed(self) -> None:
        """Keep what is in the rows now, count it, and hand the facts over."""
        self.cache.keep(self.entries.values(), [*self.relied, *(it.row for it in self.writes)])
        if self._stretch is not None:
            self._stretch.committed()
        entered = Counter([change.target for _, change in self.journal.changes])
        for stage, count in entered.items():
            telemetry.STAGE_CHANGES.labels(stage).inc(count)
        for verdict, count in self.verdicts.items():
            telemetry.TOUCHPOINTS.labels(verdict).inc(count)
        for kind, count in self.blocked.items():
            telemetry.IDENTIFIERS_BLOCKED.labels(kind).inc(count)
        if self.journal.count:
            self.relay.offer(
                self.journal.first, self.journal.last, river.pieces(self.journal.facts)
            )

    def _evict(self, raced: AbstractSet[UUID] | None) -> None:
        """Drop from memory what is outdated: some profiles and what maps to them, or everything."""
        rows = [*self.relied, *self.met, *(it.row for it in self.writes)]
        rows += [it.expected for it in self.writes if it.expected is not None]
        outdated = [it for it in rows if raced is None or it.profile_id in raced]
        keys = [(it.workspace, it.kind, it.value) for it in outdated]
        self.cache.evict(self.entries if raced is None else raced, keys)
