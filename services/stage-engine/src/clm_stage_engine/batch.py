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
from clm_stage_engine.store import decisions, lateness, packing, saving, writing
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
    def stretch(self) -> Stretch | None:
        """The piece of a sweep that it does."""
        return None if self.basis.due is None else self.basis.due.stretch

    @property
    def touched(self) -> AbstractSet[UUID] | None:
        """The profiles and identities that it changes or relies on; see `Sharing`."""
        if self.late or self.decisions or self.stretch is not None:
            return None
        rows = {it.row.id for it in self.writes}
        return rows.union(self.entries, (it.id for it in self.relied), (it.id for it in self.met))

    async def write(self, tx: Connection, first_seq: int) -> None:
        """Write everything; see `write_together`."""
        await write_together(tx, [(self, first_seq)])

    def check_numbers(self, first_seq: int) -> None:
        """See that its facts have the numbers that the fence gives them.

        Raises:
            RaceLost: they have others.
        """
        expected = self.journal.first
        if first_seq != expected:
            raise RaceLost("batch.numbered", f"seq {expected} was expected, not {first_seq}")

    def committed(self) -> None:
        """Keep what is in the rows now, count it, and hand the facts over."""
        self.cache.keep(self.entries.values(), [*self.relied, *(it.row for it in self.writes)])
        if self.stretch is not None:
            self.stretch.committed()
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

    def raced(self, rows: AbstractSet[object] | None) -> None:
        """Take note that it was not written, as some profiles have changed, or nobody knows what.

        Those who have not stand when the same records are decided about again.
        """
        mine = None if rows is None else self.entries.keys() & rows
        if mine:
            pieces = self.journal.pieces()
            self.cache.kept = Kept(self.basis, mine, self.entries, pieces)
        if mine is None or mine:
            self._evict(mine)

    def _evict(self, raced: AbstractSet[UUID] | None) -> None:
        """Drop from memory what is outdated: some profiles and what maps to them, or everything."""
        rows = [*self.relied, *self.met, *(it.row for it in self.writes)]
        rows += [it.expected for it in self.writes if it.expected is not None]
        outdated = [it for it in rows if raced is None or it.profile_id in raced]
        keys = [(it.workspace, it.kind, it.value) for it in outdated]
        self.cache.evict(self.entries if raced is None else raced, keys)


async def write_together(tx: Connection, numbered: Sequence[tuple[Decided, int]]) -> None:
    """Write batches set-wise, each with its first sequence number.

    Profiles before the check of identities: whoever moves an identity also writes both profiles, so
    that after our version check passed nobody can move one unseen.

    Raises:
        RaceLost: a profile or identity has changed since it was read. Where only profiles did,
            those who did not stand when the same records are decided about again; where an identity
            did, whose the touchpoints are may be wrong, and nothing stands.
    """
    batches = [batch for batch, _ in numbered]
    try:
        for batch, first in numbered:
            batch.check_numbers(first)
        await _write(tx, batches)
    except ProfilesRaced as error:
        for batch in batches:
            batch.raced(error.rows)
        raise
    except BaseException:
        for batch in batches:
            batch.raced(None)
        raise


async def _write(tx: Connection, batches: Sequence[Decided]) -> None:
    writes = [it for batch in batches for it in batch.writes]
    journals = [batch.journal for batch in batches]
    await writing.add_identities(tx, [it.row for it in writes if it.expected is None])
    await writing.change_identities(
        tx, [(it.row, it.expected) for it in writes if it.expected is not None]
    )
    await saving.save_profiles(
        tx, [(it, batch.wakes.get(it.id)) for batch in batches for it in batch.entries.values()]
    )
    await writing.check_identities(tx, [it for batch in batches for it in batch.relied])
    await writing.add_named(tx, [it for batch in batches for it in batch.named])
    await lateness.add(tx, [it for batch in batches for it in batch.late])
    await decisions.add(tx, [it for batch in batches for it in batch.decisions])
    await writing.append_history(tx, [row for it in journals for row in it.history])
    await writing.append_changes(
        tx, [packing.change(it.partition, *fact) for it in journals for fact in it.changes]
    )
    await writing.append_explanations(tx, [row for it in journals for row in it.explanations])
    await writing.append_moves(tx, [(it.partition, *fact) for it in journals for fact in it.moves])
    for batch in batches:
        if batch.stretch is not None:
            await batch.stretch.write(tx)
