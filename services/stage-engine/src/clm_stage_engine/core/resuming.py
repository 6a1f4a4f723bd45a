"""How the fold goes on from snapshots, and how touchpoints are folded away into one.

By the definition that made a snapshot, folding the rest on top of it gives what folding everything
gives. Another definition begins where it can: see `begin`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from clm_stage_engine.core.deadlines import due
from clm_stage_engine.core.facts import Touch
from clm_stage_engine.core.fold import Change, State, Step, enter, fold, lapse, order
from clm_stage_engine.core.leaf import Moment
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.core.memories import NEVER
from clm_stage_engine.core.slots import carry
from clm_stage_engine.core.snapshot import Line, Snapshot, line, pack

FOLDED: Final = "snapshot"
"""The move of somebody whose stage in a snapshot is no stage of the definition that goes on."""


class Beginning(Struct, frozen=True):
    """What a fold goes on from.

    Attributes:
        state: the state; None before the first touchpoint.
        lines: the timeline up to there.
        cut: touchpoints before this instant (µs) are folded in already.
        touchpoints: how many.
        historical: the newest of them was imported from the past.
    """

    state: State | None = None
    lines: tuple[Line, ...] = ()
    cut: int = NEVER
    touchpoints: int = 0
    historical: bool = False


NOTHING: Final = Beginning()
"""The beginning of whoever has no snapshot."""


def beginning(
    lifecycle: Lifecycle,
    own: UUID,
    snapshots: Mapping[UUID, Snapshot],
    touches: Iterable[Touch],
) -> Beginning:
    """Give the beginning of a profile from the snapshots of its identities.

    One snapshot is gone on from. Where identities that had each their own came together, that is
    the profile's own, else that of whoever was active last; the others' touchpoints are counted.
    A profile without a snapshot of its own whose touchpoints reach further back goes by these.

    Args:
        lifecycle: the definition that goes on.
        own: the profile's id, which is that of its own identity.
        snapshots: by identity.
        touches: the touchpoints that are kept.
    """
    leading, count = leader(own, snapshots, touches)
    begun = NOTHING if leading is None else begin(lifecycle, leading)
    return replace(begun, touchpoints=count)


def leader(
    own: UUID, snapshots: Mapping[UUID, Snapshot], touches: Iterable[Touch]
) -> tuple[Snapshot | None, int]:
    """Give the snapshot that is gone on from, if any, and how many touchpoints all have."""
    if not snapshots:
        return None, 0
    count = sum(it.touchpoints for it in snapshots.values())
    leading = snapshots.get(own)
    if leading is None:
        leading = max(snapshots.values(), key=_activity)
        if any(it.time < leading.cut for it in touches):
            return None, count
    return leading, count


def _activity(snapshot: Snapshot) -> tuple[tuple[int, str], bytes]:
    return snapshot.state.frontier, pack(snapshot)


def begin(lifecycle: Lifecycle, snapshot: Snapshot) -> Beginning:
    """Go on from a snapshot by a definition.

    The one that made it goes on as if nothing had been let go. For another one:
    - Stages are translated by key, else by alias. Whose stage is none of its stages is moved to the
      start stage, at the cut. Of another lifecycle's timeline only the first touchpoint is kept.
    - Facts that it remembers likewise are carried over; what nobody remembered is unknown, and then
      time in the stage and silence are measured from the cut.
    - Deadlines that its conditions have let pass by the cut have fired by the cut.
    """
    it = snapshot
    if it.definition == lifecycle.digest:
        return Beginning(it.state, it.lines, it.cut, it.touchpoints, it.historical)
    lines = _translated(lifecycle, it)
    facts, complete = carry(it.state.facts, it.slots, lifecycle.slots, lifecycle.watches)
    stage = lifecycle.names.get(it.state.stage, lifecycle.start)
    since, reached = it.state.stage_since, it.state.frontier
    if stage != lines[-1].target:
        own = (lifecycle.digest, lifecycle.version)
        lines.append(Line(it.cut, lines[-1].target, stage, FOLDED, None, it.historical, *own))
        complete = False
    if not complete:
        since, reached = it.cut, (it.cut, "")
    moment = Moment(reached[0], since, facts, None)
    wakes = due(lifecycle.nodes[stage], moment)
    state = State(stage, since, it.state.first_seen, reached, wakes, facts)
    step = _caught_up(lifecycle, state, it.cut)
    lines += [line(lifecycle, change, historical=it.historical) for change in step.changes]
    return Beginning(step.state, tuple(lines), it.cut, it.touchpoints, it.historical)


def _translated(lifecycle: Lifecycle, snapshot: Snapshot) -> list[Line]:
    names, first = lifecycle.names, snapshot.lines[0]
    if snapshot.lifecycle != lifecycle.key:
        own = (lifecycle.digest, lifecycle.version)
        return [Line(first.at, None, lifecycle.start, "start", first.cause, first.historical, *own)]
    return [_renamed(it, names) for it in snapshot.lines]


def _renamed(it: Line, names: Mapping[str, str]) -> Line:
    """Give a line with stages by their keys now; a move without a name is named after them."""
    source = None if it.source is None else names.get(it.source, it.source)
    target = names.get(it.target, it.target)
    unnamed = it.move == f"{it.source}->{it.target}"
    return replace(
        it, source=source, target=target, move=f"{source}->{target}" if unnamed else it.move
    )


def _caught_up(lifecycle: Lifecycle, state: State, cut: int) -> Step[State]:
    """Fire what fell due before the cut, and take the first move that time has made possible."""
    step = lapse(lifecycle, state, cut - 1)
    state = step.state
    moment = Moment(cut, state.stage_since, state.facts, None)
    for wait in lifecycle.nodes[state.stage].waits:
        if wait.move.when.holds(moment) and (state.due is None or state.due > cut):
            move, began, facts = wait.move, state.first_seen, state.facts
            change = Change(cut, move.source, move.target, move.name, None, "deadline", moment)
            entered = enter(lifecycle, move, cut, (cut, ""), began, facts)
            return Step(entered, (*step.changes, change))
    return step


def resume(
    lifecycle: Lifecycle, begun: Beginning, touches: Iterable[Touch], until: int
) -> Step[State | None]:
    """Fold what came after a beginning; see `fold`.

    Args:
        lifecycle: the definition that `begun` is by.
        begun: where to go on.
        touches: as `order` gives them; those from before the cut are passed over.
        until: deadlines due at or before this instant have fired at the end, µs.
    """
    return fold(lifecycle, (it for it in touches if it.time >= begun.cut), until, begun.state)


def follows(
    change: Change, touches: Sequence[Touch], imported: AbstractSet[str], begun: Beginning
) -> bool:
    """Tell whether a change follows from what was imported from the past.

    A deadline does where the newest touchpoint before it was imported.

    Args:
        change: what the fold gave.
        touches: all that are kept, in order.
        imported: the message ids of those that were imported.
        begun: what came before them.
    """
    if change.kind != "deadline":
        return change.cause in imported
    before = bisect_left(touches, change.at, key=_time)
    return touches[before - 1].message_id in imported if before else begun.historical


def _time(touch: Touch) -> int:
    return touch.time


def take(
    lifecycle: Lifecycle,
    begun: Beginning,
    touches: Iterable[Touch],
    imported: AbstractSet[str],
    cut: int,
) -> Snapshot | None:
    """Fold touchpoints away.

    Args:
        lifecycle: the definition that decides about the profile.
        begun: what was folded away before.
        touches: those that are let go, all before the cut, in any order.
        imported: the message ids of those that were imported from the past.
        cut: the instant, µs.

    Returns:
        The snapshot that takes their place; None of nobody.
    """
    older = order(touches)
    step = resume(lifecycle, begun, older, cut - 1)
    if step.state is None:
        return None
    new = [
        line(lifecycle, it, historical=follows(it, older, imported, begun)) for it in step.changes
    ]
    return Snapshot(
        cut,
        lifecycle.key,
        lifecycle.digest,
        lifecycle.slots,
        step.state,
        (*begun.lines, *new),
        begun.touchpoints + len(older),
        older[-1].message_id in imported if older else begun.historical,
    )
