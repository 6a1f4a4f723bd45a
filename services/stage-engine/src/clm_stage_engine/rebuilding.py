"""Rebuilds profiles from the stored history beside the live ones, compares, and has them mended.

The shadow is what the engine's own re-fold makes of a person's history; it is compared with the row
and the published timeline as one transaction sees them, while live traffic goes on. Nothing is
written but a mark on whoever differs: the owner of their partition folds them again under its
fence and publishes the corrections, as it does for any outdated profile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal
from uuid import UUID

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from clm_common.clock import Clock
from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.errors import Unavailable
from clm_common.instant import from_datetime, to_datetime, to_rfc3339
from clm_common.runtime.handler import Connection
from clm_common.store.database import Database
from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.fold import pack
from clm_stage_engine.folding import Past, refold
from clm_stage_engine.gathering import load_pasts
from clm_stage_engine.journal import Journal
from clm_stage_engine.profiles import GRACE, Entry, newborn
from clm_stage_engine.rules import Rules
from clm_stage_engine.store import mending, reading, standings
from clm_stage_engine.store.mending import Among
from clm_stage_engine.store.reading import Row

MOST: Final = 20_000
"""Touchpoints in memory at once, one person's excess aside."""

PATIENCE: Final = 60.0
"""Seconds in which owners must have folded again whom was marked."""

Kind = Literal["missing", "unreadable", "definition", "state", "deadline", "timeline", "reasons"]
"""What differs, the first of: the row is gone, cannot be read, was folded by another definition,
says something else, does not wake for its deadline; published stage changes, or their reasons."""


class Stand(Struct, frozen=True):
    """Where somebody stands."""

    stage: str | None
    since: str | None
    touchpoints: int


class Difference(Struct, frozen=True):
    """Somebody whose live state is not what their history says.

    Attributes:
        profile_id: who.
        kind: what differs.
        live: where the row says they stand.
        rebuilt: where they stand by their history.
        corrections: how many facts would be published.
    """

    profile_id: UUID
    kind: Kind
    live: Stand
    rebuilt: Stand
    corrections: int


class Place(Struct):
    """How far a run is; written down and read back it goes on where it was.

    Attributes:
        among: who is looked at.
        swap: whoever differs is mended.
        after: the last person looked at.
        same: people whose live state is what their history says.
        differed: the others, by what differs.
        mended: of these, who agrees with their history since.
        sample: some of them.
    """

    among: Among
    swap: bool
    after: UUID = UUID(int=0)
    same: int = 0
    differed: dict[Kind, int] = field(default_factory=dict[Kind, int])
    mended: int = 0
    sample: list[Difference] = field(default_factory=list[Difference])


Report = Callable[[int], None]
"""Is told now and then how many people this run has looked at."""


class Rebuilding:
    """One run; it may be broken off at any await, `place` then says where it stands."""

    def __init__(
        self, database: Database, rules: Rules, channels: Channels, clock: Clock, place: Place
    ) -> None:
        """Begin, or go on from a place.

        Args:
            database: stage-engine's schema.
            rules: what decides about whom.
            channels: the installation's tables.
            clock: tells which deadlines are past.
            place: how far it is.
        """
        self._database = database
        self._rules = rules
        self._channels = channels
        self._clock = clock
        self.place = place

    async def run(self, report: Report, *, examples: int) -> None:
        """Go through the people that are left, and keep some of those that differ as examples.

        Raises:
            Unavailable: PostgreSQL is away, or nobody mends whom is marked; another run goes on.
        """
        seen = 0
        while True:
            async with self._database.connection() as db:
                rows, missing = await mending.people(db, self.place.among, self.place.after)
            for ids in _pieces(rows, missing):
                await self._piece(ids, examples)
                self.place.after = UUID(bytes=ids[-1].bytes)
                seen += len(ids)
                report(seen)
            if len(rows) < mending.PAGE:
                return

    async def _piece(self, ids: Sequence[UUID], examples: int) -> None:
        place = self.place
        looked_at, found = await self._differences(ids)
        if found and place.swap:
            await self._mend(found)
            _, left = await self._differences([it.profile_id for it in found])
            place.mended += len(found) - len(left)
        place.same += looked_at - len(found)
        for it in found:
            place.differed[it.kind] = place.differed.get(it.kind, 0) + 1
        place.sample += found[: max(0, examples - len(place.sample))]

    async def _differences(self, ids: Sequence[UUID]) -> tuple[int, list[Difference]]:
        """Compare people with their history; gives how many there are, and those that differ."""
        async with self._database.snapshot() as db:
            live = {row["id"]: row for row in await mending.rows_of(db, ids)}
            beside = await standings.rows(db, ids) if self._rules.several else {}
            gone = await self._newborn(db, [each for each in ids if each not in live])
            pasts = await load_pasts(db, [*live, *(it.id for it in gone)])
        found = [
            self._compare(row, beside.get(each, ()), pasts[each]) for each, row in live.items()
        ]
        found += [self._rebuild(it, pasts[it.id], "missing") for it in gone]
        return len(found), [it for it in found if it is not None]

    async def _newborn(self, db: Connection, ids: Sequence[UUID]) -> list[Entry]:
        born = [
            newborn(it, TOUCHPOINTS.partitions, "") for it in await reading.load_identities(db, ids)
        ]
        wanted = self.place.among.partitions
        return [it for it in born if wanted is None or it.home in wanted]

    def _compare(self, row: Row, beside: Sequence[Row], past: Past) -> Difference | None:
        try:
            entry = reading.entry_of(row)
            if self._rules.several:
                entry = replace(entry, further=standings.read(beside))
        except (msgspec.DecodeError, msgspec.ValidationError):
            entry = reading.entry_of({**dict(row), "state": None})
            return self._rebuild(entry, past, "unreadable", row)
        if past.is_empty and entry.state is None and not entry.further:
            return None  # merged away, or erased
        return self._rebuild(entry, past, None, row)

    def _rebuild(
        self, entry: Entry, past: Past, kind: Kind | None, row: Row | None = None
    ) -> Difference | None:
        """Fold somebody's history; None where that gives what is live, and nothing is known."""
        course = self._rules.course(entry.workspace, entry.id)
        others = self._rules.others(entry.workspace, entry.id)
        journal = Journal(0, 1, self._channels)
        again = refold(course, entry, past, (), journal, others=others)
        if kind is None and row is not None:
            kind = _differs(row, entry, again, journal, self._clock.now())
        if kind is None or (kind == "missing" and past.is_empty and not journal.count):
            return None  # an alias that joined nobody may name ids that nothing was sent of
        own = UUID(bytes=entry.id.bytes)
        live = _stand(entry) if row is None else _shown(row)
        return Difference(own, kind, live, _stand(again), journal.count)

    async def _mend(self, found: Sequence[Difference]) -> None:
        """Mark people, and return when their owners have folded them again."""
        ids = [it.profile_id for it in found]
        async with self._database.transaction() as tx:
            gone = [it.profile_id for it in found if it.kind == "missing"]
            await mending.mark(tx, ids, gone)
        try:
            async with asyncio.timeout(PATIENCE), self._database.connection() as db:
                while await mending.marked(db, ids):  # noqa: ASYNC110 - another process does it
                    await asyncio.sleep(0.1)
        except TimeoutError as error:
            message = f"{len(ids)} people are marked, and nobody folds them again: is it running?"
            raise Unavailable("replay.unmended", message) from error


def _pieces(rows: Iterable[Row], missing: Iterable[UUID]) -> Iterable[list[UUID]]:
    """Cut people, by id, into pieces with `MOST` touchpoints at most."""
    weights = dict.fromkeys(missing, 0) | {row["id"]: row["touchpoints"] for row in rows}
    piece: list[UUID] = []
    weight = 0
    for each in sorted(weights):
        if piece and weight + weights[each] > MOST:
            yield piece
            piece, weight = [], 0
        piece.append(each)
        weight += weights[each]
    if piece:
        yield piece


def _differs(row: Row, entry: Entry, again: Entry, journal: Journal, now: int) -> Kind | None:
    if row["definition"] != again.definition or _ways(entry) != _ways(again):
        return "definition"
    if _columns(row) != _written(again) or entry.further != again.further:
        return "state"
    if _oversleeps(row, again, now):
        return "deadline"
    if journal.count:
        return "timeline"
    return "reasons" if journal.explanations else None


def _ways(entry: Entry) -> list[tuple[str, str]]:
    return [(it.lifecycle, it.definition) for it in entry.further or ()]


def _columns(row: Row) -> tuple[object, ...]:
    instants = row["stage_since"], row["first_seen"], row["last_seen"]
    told = row["stage"], row["touchpoints"], row["historical"], row["state"]
    return *instants, *told


def _written(entry: Entry) -> tuple[object, ...]:
    """Give what the row of a profile has to say, as `_columns` reads it."""
    state = entry.state
    if state is None:
        return None, None, None, None, entry.touchpoints, entry.historical, None
    instants = map(to_datetime, (state.stage_since, state.first_seen, state.frontier[0]))
    return *instants, state.stage, entry.touchpoints, entry.historical, pack(state)


def _oversleeps(row: Row, again: Entry, now: int) -> bool:
    """Tell whether a profile will not be looked at when its deadline falls due."""
    due = again.due
    if due is None:
        return False
    wakes = row["wake_at"]
    return wakes is None or from_datetime(wakes) > max(due, now + GRACE)


def _stand(entry: Entry) -> Stand:
    state = entry.state
    if state is None:
        return Stand(None, None, entry.touchpoints)
    return Stand(state.stage, to_rfc3339(state.stage_since), entry.touchpoints)


def _shown(row: Row) -> Stand:
    since = row["stage_since"]
    shown = None if since is None else to_rfc3339(from_datetime(since))
    return Stand(row["stage"], shown, row["touchpoints"])
