"""Regrouping: what decisions, and links of identities that were decided about, do to the rows.

`identity.resolve` goes by links alone, which is all that most batches need. Where somebody decided,
everybody around is looked at again, and the rows become what `merging` says of the whole set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from clm_stage_engine.core.identity import IdentityRow, Key, Moved, Resolution, Write
from clm_stage_engine.core.merging import BOUNDS, Bounds, Decision, Groups, groups, profile_of


class Around(Struct, frozen=True):
    """What is stored of everybody whom a batch's decisions may concern.

    Attributes:
        decisions: all that name one of them.
        rows: their identities, those of the same profiles, and the users of their links.
    """

    decisions: Sequence[Decision]
    rows: Mapping[UUID, IdentityRow]


def regroup(
    resolution: Resolution,
    around: Around,
    news: Sequence[Decision],
    named: Mapping[UUID, Key],
    bounds: Bounds = BOUNDS,
) -> Resolution:
    """Give the resolution of a batch with its decisions.

    Args:
        resolution: what links alone say.
        around: what is stored.
        news: the batch's decisions that are not stored yet.
        named: the identifiers that these name, by id.
        bounds: see `groups`.
    """
    table = _Table(resolution, around, named)
    before = groups(around.decisions, table.stored, bounds)
    after = groups([*around.decisions, *news], table.now, bounds)
    named_now = {member for it in news for member in it.members}
    regrouped = {it for it in (*before.of, *after.of) if before.group(it) != after.group(it)}
    touched = {
        each for it in named_now | regrouped for each in (*before.group(it), *after.group(it))
    }
    final = {row.id: row for row in table.regrouped(after, touched)}
    kept = [it for it in resolution.writes if it.expected is None or it.row.id not in final]
    writes = [
        *kept,
        *table.inserts,
        *(Write(row, table.expected(row.id)) for row in final.values()),
    ]
    owners = [final.get(row.id, row) for row in resolution.owners]
    return Resolution(owners, writes, [*_moves(table, final, news)])


class _Table:
    """The rows as they are stored, and as they are with what links alone say."""

    def __init__(self, resolution: Resolution, around: Around, named: Mapping[UUID, Key]) -> None:
        written = {it.row.id: it for it in resolution.writes}
        self.stored = dict(around.rows)
        self.stored |= {each: it.expected for each, it in written.items() if it.expected}
        self.now = self.stored | {each: it.row for each, it in written.items()}
        self.inserts: list[Write] = []
        for each, key in named.items():
            if each not in self.now:
                row = self.now[each] = IdentityRow(each, *key, profile_id=each)
                self.inserts.append(Write(row, None))

    def expected(self, identity: UUID) -> IdentityRow:
        """Give what a row is when it is written."""
        return self.stored.get(identity) or self.now[identity]

    def regrouped(self, found: Groups, touched: set[UUID]) -> Iterator[IdentityRow]:
        """Give the rows that change; those of touched groups do, so that decisions meet."""
        for row in self.now.values():
            profile = profile_of(row.id, found, self.now)
            if profile == row.profile_id and row.id not in touched:
                continue
            was = self.stored.get(row.id)
            moves = 0 if was is None else was.moves + (was.profile_id != profile)
            decided = row.decided + (row.id in touched)
            yield replace(row, profile_id=profile, moves=moves, decided=decided)


def _moves(
    table: _Table, final: Mapping[UUID, IdentityRow], news: Sequence[Decision]
) -> Iterator[Moved]:
    """Give the stored identities that go to another profile, each with what made it go."""
    for each, was in table.stored.items():
        row = final.get(each) or table.now[each]
        if row.profile_id != was.profile_id:
            between = {was.profile_id, row.profile_id}
            time = _decided_at(between, table, final, news)
            if time is None:
                time = row.link.time if row.link else 0
            yield Moved(each, was.profile_id, row.profile_id, time, row.moves)


def _decided_at(
    between: set[UUID], table: _Table, final: Mapping[UUID, IdentityRow], news: Sequence[Decision]
) -> int | None:
    """Give the instant of the last new decision about one of two profiles; None without one."""
    times = [
        it.time
        for it in news
        for member in it.members
        if member in table.now
        and between & {table.expected(member).profile_id, final[member].profile_id}
    ]
    return max(times, default=None)
