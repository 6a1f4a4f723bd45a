"""A lifecycle tried out on events that never happened, with a clock that is an argument.

Whose an event is, what moves a person and what falls due is decided by the functions that decide
it in earnest. The outcome is a function of the set of events, the definition and the instant.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from clm_stage_engine.core.explain import Explanation, Prospect, explain, outlook
from clm_stage_engine.core.facts import Touch
from clm_stage_engine.core.fold import fold, order
from clm_stage_engine.core.identity import Derive, Key, resolve
from clm_stage_engine.core.lifecycle import Lifecycle


class Event(Touch, frozen=True):
    """A touchpoint that might happen, and whose it is; it has a user, an anonymous id, or both."""

    user: Key | None
    anonymous: Key | None


class Walked(Struct, frozen=True):
    """A stage that somebody entered.

    Attributes:
        source: the stage that was left; None at the start.
        target: the stage that was entered.
        why: the move, its instant and cause, what its guards found, and what others lacked.
    """

    source: str | None
    target: str
    why: Explanation


class Walk(Struct, frozen=True):
    """What somebody would go through.

    Attributes:
        person: the user's id, or else the device's, as it was sent.
        events: how many are theirs, each once.
        timeline: every stage entered, oldest first.
        stage: where they are in the end.
        since: since when, µs.
        ahead: every move that leads on, as it stands in the end, the nearest first.
    """

    person: str
    events: int
    timeline: tuple[Walked, ...]
    stage: str
    since: int
    ahead: tuple[Prospect, ...]


def simulate(
    lifecycle: Lifecycle, events: Sequence[Event], until: int, derive: Derive
) -> list[Walk]:
    """Walk everybody through a lifecycle.

    Args:
        lifecycle: the definition.
        events: in any order; repeats of a message id count once.
        until: events after this instant (µs) have not happened, deadlines up to it have fired.
        derive: gives an identity its id.

    Returns:
        What each person would go through, in the order of their names.
    """
    past = [it for it in events if it.time <= until]
    owners = resolve(past, {}, derive).owners
    names = {row.id: (row.value, row.kind) for row in owners}
    mine: dict[tuple[str, str], list[Touch]] = {}
    for it, row in zip(past, owners, strict=True):
        mine.setdefault(names[row.profile_id], []).append(it)
    return [_walk(lifecycle, name[0], mine[name], until) for name in sorted(mine)]


def _walk(lifecycle: Lifecycle, person: str, events: Sequence[Touch], until: int) -> Walk:
    touches = order(events)
    step = fold(lifecycle, touches, until)
    state = step.state
    assert state is not None  # noqa: S101 - a person has an event
    timeline = tuple(Walked(it.source, it.target, explain(lifecycle, it)) for it in step.changes)
    ahead = outlook(lifecycle, state, until)
    return Walk(person, len(touches), timeline, state.stage, state.stage_since, ahead)
