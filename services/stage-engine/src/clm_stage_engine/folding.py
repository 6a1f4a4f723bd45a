"""Folding a batch: the touched profiles' next versions, and the facts that follow.

`advance_all` is the fast way for touchpoints newer than all a profile has; `refold` folds a profile
again from everything that is its own, and corrects its published timeline.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.touchpoint import HISTORICAL
from clm_common.instant import from_rfc3339, to_rfc3339
from clm_stage_engine.arrivals import Arrival
from clm_stage_engine.core.beside import Beside, snapshots_of
from clm_stage_engine.core.crossing import follow
from clm_stage_engine.core.eras import ALWAYS, Course
from clm_stage_engine.core.explain import record
from clm_stage_engine.core.facts import Touch
from clm_stage_engine.core.fold import Change, State, advance, is_late, lapse, order
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.core.resuming import Beginning, follows
from clm_stage_engine.core.snapshot import Line, Snapshot
from clm_stage_engine.core.starting import start
from clm_stage_engine.journal import Journal
from clm_stage_engine.profiles import Entry, Standing
from clm_stage_engine.store.ids import change_id

Claimed = tuple[Arrival, UUID]
"""A touchpoint and the id of its own identity."""


class Past(Struct, frozen=True):
    """What is stored of a profile that is folded again.

    Attributes:
        touches: its touchpoints, in no order.
        timeline: the stage changes that stand, by id.
        imported: the message ids of those that were imported from the past, perhaps with others'.
        explanations: the newest record of each change, by id; see `core.explain`.
        snapshots: what was folded away of its identities' touchpoints, by identity.
    """

    touches: Sequence[Touch]
    timeline: Mapping[UUID, StageChange]
    imported: AbstractSet[str] = frozenset()
    explanations: Mapping[UUID, bytes] = {}
    snapshots: Mapping[UUID, Snapshot] = {}

    @property
    def is_empty(self) -> bool:
        """Whether the profile has nothing of its own."""
        return not (self.touches or self.snapshots)


def plain(course: Course, entry: Entry, claimed: Sequence[Claimed]) -> Lifecycle | None:
    """Give the definition by which touchpoints, sorted, can be folded on top of a profile's state.

    None where the profile must be folded again.
    Only the first needs comparing with the frontier; a repeat inside the batch follows itself.
    """
    state = entry.state
    if state is not None and is_late(state, claimed[0][0]):
        return None
    only = course.only
    if only is not None:
        return only if entry.definition == only.digest or not entry.version else None
    return _plain_in_turn(course, entry, claimed)


def _plain_in_turn(course: Course, entry: Entry, claimed: Sequence[Claimed]) -> Lifecycle | None:
    """Do the same where several definitions decide: whoever goes over is folded again."""
    if entry.state is None:
        newest = course.eras[-1]
        known = not entry.version or entry.definition == newest.lifecycle.digest
        return newest.lifecycle if known and claimed[0][0].time >= newest.since else None
    place = course.place(entry.definition, entry.state)
    if place is None or (place.drains and _moves(place.lifecycle, entry.state, claimed)):
        return None
    return place.lifecycle


def _moves(lifecycle: Lifecycle, state: State, claimed: Sequence[Claimed]) -> bool:
    """Tell whether touchpoints change somebody's stage."""
    for arrival, _ in claimed:
        if not is_late(state, arrival):
            step = advance(lifecycle, state, arrival)
            if step.changes:
                return True
            state = step.state
    return False


def in_order(claimed: list[Claimed]) -> list[Claimed]:
    """Sort touchpoints as the fold wants them."""
    if len(claimed) > 1:
        claimed.sort(key=_rank)
    return claimed


def _rank(item: Claimed) -> tuple[int, str]:
    arrival = item[0]
    return arrival.time, arrival.message_id


def advance_all(
    lifecycle: Lifecycle, entry: Entry, claimed: Sequence[Claimed], journal: Journal
) -> Entry:
    """Fold sorted touchpoints on top of a profile's state; immediate repeats count once."""
    state, count, historical = entry.state, entry.touchpoints, entry.historical
    for arrival, identity in claimed:
        if state is not None and is_late(state, arrival):
            continue
        step = advance(lifecycle, state, arrival)
        state = step.state
        count += 1
        journal.touchpoint(arrival, identity, entry)
        imported = bool(arrival.marks) and HISTORICAL in arrival.marks
        for change in step.changes:
            follows = historical if change.kind == "deadline" else imported
            tell(journal, lifecycle, entry, change, historical=follows)
        historical = imported
    folded = entry.definition if entry.version else lifecycle.digest
    return entry.advanced(state, count, folded, historical=historical)


def news(past: Past, claimed: Iterable[Claimed]) -> list[Claimed]:
    """Give the touchpoints that are not stored yet, each once: late repeats are none."""
    return unknown({(touch.time, touch.message_id) for touch in past.touches}, claimed)


def unknown(known: set[tuple[int, str]], claimed: Iterable[Claimed]) -> list[Claimed]:
    """Give the touchpoints whose time and message id are not known, each once; they are then."""
    fresh: list[Claimed] = []
    for item in claimed:
        name = _rank(item)
        if name not in known:
            known.add(name)
            fresh.append(item)
    return fresh


def refold(  # noqa: PLR0913 - all that a timeline is a function of
    course: Course,
    entry: Entry,
    past: Past,
    fresh: Sequence[Claimed],
    journal: Journal,
    *,
    now: int = 0,
    others: Sequence[Beside] | None = None,
) -> Entry:
    """Fold a profile again from its past and what is new, and correct its timeline.

    Args:
        course: the definitions of the main lifecycle, in turn.
        entry: the profile as it stands.
        past: everything stored that is its own now, moved identities included.
        fresh: what `news` gives of the touchpoints that arrived.
        journal: takes the facts.
        now: deadlines due by then (µs) fire, too; by default those that fired before.
        others: the lifecycles beside the main one, by key; None where none ever ran. A timeline of
            a lifecycle that is none of these is retracted.
    """
    touches = order([*past.touches, *(arrival for arrival, _ in fresh)])
    for arrival, identity in fresh:
        journal.touchpoint(arrival, identity, entry)
    imported = past.imported | {it.message_id for it, _ in fresh if HISTORICAL in it.marks}
    whole = _Whole(past, touches, imported, now)
    main = _fold_one(Beside(course.lifecycle.key, ALWAYS, course), entry, whole)
    right = main.right
    further = entry.further
    if others is not None:
        found = [(it, _fold_one(it, entry.beside(it.key), whole)) for it in others]
        right = [*right, *(told for _, one in found for told in one.right)]
        states = [(it.key, one.digest, one.state) for it, one in found]
        further = tuple(
            Standing(key, digest, state) for key, digest, state in states if state is not None
        )
    _correct(right, past, journal, version=entry.version + 1)
    last = touches[-1].message_id in imported if touches else main.begun.historical
    count = main.begun.touchpoints + len(touches)
    after = entry.advanced(main.state, count, main.digest, historical=last)
    return after if others is None else replace(after, further=further)


class _Whole(Struct, frozen=True):
    """All that somebody is folded again from: `touches` in order, and what `refold` was given."""

    past: Past
    touches: Sequence[Touch]
    imported: AbstractSet[str]
    now: int


class _Folded(Struct, frozen=True):
    """What a lifecycle made of somebody: where they stand, and the timeline as it should be."""

    begun: Beginning
    state: State | None
    digest: str
    right: list[tuple[StageChange, bytes | None]]


def _fold_one(by: Beside, entry: Entry, whole: _Whole) -> _Folded:
    """Fold somebody by one lifecycle; `entry` says where they stand in it."""
    course, touches, past = by.course, whole.touches, whole.past
    last = touches[-1].time if touches else 0
    until = max(whole.now, course.settled, _frontier(by.key, entry.state, past), last)
    began = start(course, entry.id, snapshots_of(by.key, past.snapshots), touches)
    begun, found = began.beginning, follow(course, touches, until, began)
    right: list[tuple[StageChange, bytes | None]] = [
        (_restated(course.lifecycle, entry, it, by.began), None) for it in begun.lines
    ]
    for it, told in zip(found.changes, found.timeline, strict=True):
        historical = follows(told, touches, whole.imported, begun) or told.at < by.began
        fact = stage_change(it.lifecycle, entry, told, historical=historical)
        right.append((fact, record(it.lifecycle, it.change)))
    return _Folded(begun, found.state, found.digest, right)


def _restated(lifecycle: Lifecycle, entry: Entry, line: Line, began: int) -> StageChange:
    """Write a line of a snapshot as the change it was, or is where it went to another profile."""
    historical = line.historical or line.at < began
    fact = stage_change(lifecycle, entry, line, historical=historical)
    return replace(fact, definition=line.definition, lifecycle_version=line.version)


def expire(lifecycle: Lifecycle, entry: Entry, now: int, journal: Journal) -> Entry:
    """Fire a profile's deadlines that are due at or before `now` (µs)."""
    state = entry.state
    if state is not None:
        step = lapse(lifecycle, state, now)
        state = step.state
        for change in step.changes:
            tell(journal, lifecycle, entry, change, historical=entry.historical)
    return entry.advanced(state, entry.touchpoints, entry.definition, historical=entry.historical)


def _frontier(key: str, state: State | None, past: Past) -> int:
    """Give the instant up to which was folded; of a lost state what was published tells."""
    if state is not None:
        return state.frontier[0]
    every = (from_rfc3339(it.at) for it in past.timeline.values() if it.lifecycle == key)
    return max(every, default=0)


def _correct(
    right: Sequence[tuple[StageChange, bytes | None]],
    past: Past,
    journal: Journal,
    *,
    version: int,
) -> None:
    """Publish the difference: retract what no longer holds, assert what is new.

    What stands may have other reasons now: a late touchpoint counts, a definition asks otherwise.
    """
    ids = {change.id for change, _ in right}
    for change in sorted(past.timeline.values(), key=lambda it: it.at):
        if change.id not in ids:
            journal.change(replace(change, version=version, retracted=True))
    for change, why in right:
        known = past.timeline.get(change.id)
        unsaid = None if why == past.explanations.get(change.id) else why
        if known is None or known.historical != change.historical:
            journal.change(change, unsaid)
        else:
            journal.explained(change, unsaid)


def tell(
    journal: Journal, lifecycle: Lifecycle, entry: Entry, change: Change, *, historical: bool
) -> None:
    """Note a change that the fold has just come to, with its explanation."""
    fact = stage_change(lifecycle, entry, change, historical=historical)
    journal.change(fact, record(lifecycle, change))


def stage_change(
    lifecycle: Lifecycle, entry: Entry, change: Change | Line, *, historical: bool
) -> StageChange:
    """Write a change of the fold as the contract has it, in the version after `entry`."""
    key = (lifecycle.key, change.at, change.source, change.target, change.cause)
    return StageChange(
        id=change_id(entry.id, *key),
        workspace=entry.workspace,
        profile_id=entry.id,
        version=entry.version + 1,
        lifecycle=lifecycle.key,
        definition=lifecycle.digest,
        target=change.target,
        move=change.move,
        at=to_rfc3339(change.at),
        source=change.source,
        cause=change.cause,
        user_id=entry.user_id,
        historical=historical,
        lifecycle_version=lifecycle.version,
    )
