"""The fold: a profile's state as a function of its touchpoints, a lifecycle and the instant.

Touchpoints are folded in the order (time, message id). Deadlines that fall due at or before a
touchpoint fire before it, stamped with their own instant. A move is considered when a touchpoint
arrives that its condition mentions, or when a deadline of its own falls due; the first in the
definition's order that holds is taken, at most one per touchpoint and one per deadline.
The first touchpoint enters the start stage and may then also move the profile on.
A touchpoint of type `move` is somebody's decision: it moves the profile to the stage it names,
whatever conditions say; from there on the moves go on as usual.

So `advance` and `lapse` applied to touchpoints in order, however they are cut into batches, give
what `fold` gives. A touchpoint that is not after the `frontier` is late: the caller re-folds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Struct

from clm_stage_engine.core.condition import AllOf
from clm_stage_engine.core.deadlines import due, first
from clm_stage_engine.core.facts import Facts, Touch
from clm_stage_engine.core.leaf import Moment
from clm_stage_engine.core.lifecycle import MANUAL, Lifecycle, Move, Node, Plan
from clm_stage_engine.core.manual import by_hand
from clm_stage_engine.core.memories import Watch
from clm_stage_engine.core.selector import LEFT

__all__ = [
    "Change",
    "Kind",
    "State",
    "Step",
    "Touch",
    "advance",
    "enter",
    "fold",
    "is_late",
    "lapse",
    "meaning",
    "observed",
    "order",
    "pack",
    "unpack",
]

Kind = Literal["start", "touchpoint", "deadline", "manual", "mapped"]


class Change(Struct, frozen=True, gc=False):
    """A stage was entered.

    Attributes:
        at: when, µs, in event time.
        source: the stage that was left; None at the start.
        target: the stage that was entered.
        move: the name of the move, or `start`.
        cause: the message id of the touchpoint; None for a deadline.
        kind: what brought it about; `mapped` is a publication, see `crossing`.
        moment: what it was judged by; see `explain`.
    """

    at: int
    source: str | None
    target: str
    move: str
    cause: str | None
    kind: Kind
    moment: Moment


class State(Struct, frozen=True, gc=False, array_like=True):
    """Where a profile stands.

    Attributes:
        stage: the key of its stage.
        stage_since: when it entered it, µs.
        first_seen: the time of its first touchpoint, µs.
        frontier: the latest instant folded: (time, message id) of the newest touchpoint, or
            (time, "") of a deadline that fired since.
        due: when its next deadline falls due, µs; None when time alone changes nothing.
        facts: what it remembers.
    """

    stage: str
    stage_since: int
    first_seen: int
    frontier: tuple[int, str]
    due: int | None
    facts: Facts


S = TypeVar("S")


class Step(Struct, Generic[S], frozen=True, gc=False):
    """A state and the changes that led to it, oldest first."""

    state: S
    changes: tuple[Change, ...] = ()


_pack: Final = msgspec.msgpack.Encoder(order="deterministic").encode
_unpack: Final = msgspec.msgpack.Decoder(State).decode


def pack(state: State) -> bytes:
    """Write a state; equal states give equal bytes. Valid for one `Lifecycle.digest`."""
    return _pack(state)


def unpack(data: bytes) -> State:
    """Read what `pack` wrote."""
    return _unpack(data)


def order(touches: Iterable[Touch]) -> list[Touch]:
    """Sort by (time, message id) and keep the first of each such pair: a repeat has both.

    One message id at two instants is two touchpoints: whoever is advanced by the newer one alone
    cannot know of the older, and the outcome must not depend on which way was taken.
    The rest breaks ties, so that the outcome depends on the set alone.
    """
    kept: dict[tuple[int, str], Touch] = {}
    for touch in sorted(touches, key=_rank):
        kept.setdefault((touch.time, touch.message_id), touch)
    return list(kept.values())


def _rank(touch: Touch) -> tuple[int, str, str, str, bytes]:
    return touch.time, touch.message_id, touch.type, touch.event or "", touch.body


def is_late(state: State, touch: Touch) -> bool:
    """Tell whether a touchpoint is not after the frontier: then the profile must be re-folded."""
    return (touch.time, touch.message_id) <= state.frontier


def fold(
    lifecycle: Lifecycle, touches: Iterable[Touch], until: int, state: State | None = None
) -> Step[State | None]:
    """Fold a whole timeline.

    Args:
        lifecycle: the definition.
        touches: all of the profile's touchpoints, as `order` gives them.
        until: deadlines due at or before this instant have fired at the end, µs.
        state: what came before them; None where they are all.
    """
    changes: list[Change] = []
    for touch in touches:
        step = advance(lifecycle, state, touch)
        state = step.state
        changes += step.changes
    if state is None:
        return Step(None)
    last = lapse(lifecycle, state, until)
    return Step(last.state, (*changes, *last.changes))


def advance(lifecycle: Lifecycle, state: State | None, touch: Touch) -> Step[State]:
    """Fold one touchpoint, which must be after the state's frontier.

    Raises:
        ValueError: it is late; re-fold the profile.
    """
    if state is None:
        return _begin(lifecycle, touch)
    time, frontier = touch.time, state.frontier
    if time <= frontier[0] and is_late(state, touch):
        raise ValueError(f"touchpoint {touch.message_id!r} is late: re-fold the profile")
    changes: tuple[Change, ...] = ()
    if state.due is not None and state.due <= time:
        lapsed = lapse(lifecycle, state, time)
        state, changes = lapsed.state, lapsed.changes
    node = lifecycle.nodes[state.stage]
    plan = meaning(node, touch)
    if plan is None:
        reached = (time, touch.message_id)
        since, first = state.stage_since, state.first_seen
        return Step(State(state.stage, since, first, reached, state.due, state.facts), changes)
    return _apply(lifecycle, state, touch, plan, changes)


def meaning(node: Node, touch: Touch) -> Plan | None:
    """Give what a touchpoint means in a stage; None where it means nothing."""
    if touch.type == "track":
        return node.events.get(touch.event, node.others)
    return node.types.get(touch.type)


def _begin(lifecycle: Lifecycle, touch: Touch) -> Step[State]:
    time, stage = touch.time, lifecycle.start
    node = lifecycle.nodes[stage]
    moment = Moment(time, time, lifecycle.blank, touch)
    start = Change(time, None, stage, "start", touch.message_id, "start", moment)
    reached = (time, touch.message_id)
    state = State(stage, time, time, reached, due(node, moment), lifecycle.blank)
    plan = meaning(node, touch)
    if plan is None:
        return Step(state, (start,))
    return _apply(lifecycle, state, touch, plan, (start,))


def _apply(
    lifecycle: Lifecycle,
    state: State,
    touch: Touch,
    plan: Plan,
    changes: tuple[Change, ...],
) -> Step[State]:
    """Remember a touchpoint that means something here, and take the first move that holds."""
    facts = observed(state.facts, plan.feeds, touch)
    time, since, began = touch.time, state.stage_since, state.first_seen
    reached = (time, touch.message_id)
    moment = Moment(time, since, facts, touch)
    moves = plan.moves if touch.type != MANUAL else _by_hand(lifecycle, state, touch)
    for move in moves:
        if move.when.holds(moment):
            kind: Kind = "touchpoint" if touch.type != MANUAL else "manual"
            change = Change(
                time, move.source, move.target, move.name, touch.message_id, kind, moment
            )
            entered = enter(lifecycle, move, time, reached, began, facts)
            return Step(entered, (*changes, change))
    wakes = due(lifecycle.nodes[state.stage], moment) if plan.reschedules else state.due
    return Step(State(state.stage, since, began, reached, wakes, facts), changes)


def observed(facts: Facts, feeds: tuple[tuple[int, Watch], ...], touch: Touch) -> Facts:
    """Remember a touchpoint in the slots that it may change."""
    if not feeds:
        return facts
    if len(feeds) == 1:
        slot, watch = feeds[0]
        return (*facts[:slot], watch.observe(facts[slot], touch), *facts[slot + 1 :])
    changed = list(facts)
    for slot, watch in feeds:
        changed[slot] = watch.observe(changed[slot], touch)
    return tuple(changed)


def _by_hand(lifecycle: Lifecycle, state: State, touch: Touch) -> tuple[Move, ...]:
    """Give the move that somebody decided on; none where it names no other stage of this one."""
    decision = by_hand(touch.body)
    target = lifecycle.names.get(decision.stage)
    if decision.lifecycle != lifecycle.key or target is None or target == state.stage:
        return ()
    return (Move(MANUAL, state.stage, target, AllOf(())),)


def lapse(lifecycle: Lifecycle, state: State, until: int) -> Step[State]:
    """Fire the deadlines that fall due at or before an instant (µs), in order.

    The state is the same object where nothing fell due.
    """
    changes: list[Change] = []
    while state.due is not None and state.due <= until:
        state = _fire(lifecycle, state, state.due, changes)
    return Step(state, tuple(changes))


def _fire(lifecycle: Lifecycle, state: State, now: int, changes: list[Change]) -> State:
    node, facts, since = lifecycle.nodes[state.stage], state.facts, state.stage_since
    before = Moment(state.frontier[0], since, facts, None)
    moment = Moment(now, since, facts, None)
    for wait in node.waits:
        if first(wait, before) == now and wait.move.when.holds(moment):
            move = wait.move
            change = Change(now, move.source, move.target, move.name, None, "deadline", moment)
            changes.append(change)
            return enter(lifecycle, move, now, (now, ""), state.first_seen, facts)
    return State(state.stage, since, state.first_seen, (now, ""), due(node, moment), facts)


def enter(
    lifecycle: Lifecycle, move: Move, at: int, reached: tuple[int, str], began: int, facts: Facts
) -> State:
    """Give the state of whoever takes a move at an instant (µs)."""
    left = lifecycle.nodes[move.source].leaves
    if left:
        facts = observed(facts, left, Touch(at, "", LEFT, move.source, b""))
    wakes = due(lifecycle.nodes[move.target], Moment(at, at, facts, None))
    return State(move.target, at, began, reached, wakes, facts)
