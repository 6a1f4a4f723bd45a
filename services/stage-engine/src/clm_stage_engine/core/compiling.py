"""Compiles a lifecycle: what a definition says becomes the table that a touchpoint is looked up in.

A definition that cannot be right is refused before, by `soundness`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Final

from msgspec.structs import replace

from clm_stage_engine.core import logic
from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.condition import AnyOf, Condition
from clm_stage_engine.core.layout import Layout
from clm_stage_engine.core.leaf import Leaf, Want
from clm_stage_engine.core.lifecycle import (
    MANUAL,
    Draft,
    Lifecycle,
    Move,
    Node,
    Plan,
    Wait,
    moves,
    stage_names,
)
from clm_stage_engine.core.selector import LEFT, TRACK, Selector

_FOLD: Final = 2  # raise it when the same definition would give another timeline or other facts


def build(draft: Draft, channels: Channels) -> Lifecycle:
    """Compile a draft that `soundness` found nothing wrong with.

    Args:
        draft: what was written.
        channels: tells the channels of touchpoints to conditions that ask.
    """
    unbound = [move for _, move in moves(draft)]
    layout = Layout(
        (need for move in unbound for it in logic.leaves(move.when) for need in it.wants()),
        channels,
    )
    bound = tuple(
        replace(move, when=logic.mapped(move.when, lambda it: it.bound(layout))) for move in unbound
    )
    nodes = {stage.key: _node(stage.key, bound, layout) for stage in draft.stages}
    start = stage_names(draft.stages)[draft.start]
    keys = [stage.key for stage in draft.stages]
    said = repr((_FOLD, draft.key, start, keys, unbound))
    digest = sha256(said.encode()).hexdigest()
    watches, slots = layout.watches, layout.slots
    return Lifecycle(draft.key, start, draft.stages, bound, digest, watches, nodes, slots)


def _node(stage: str, every: tuple[Move, ...], layout: Layout) -> Node:
    leaving = [move for move in every if move.source == stage]
    waits = tuple(_wait(it, found) for it in leaving if (found := logic.waits(it.when)))
    timed = {it for wait in waits for leaf in _deciding(wait) for it in _changing(leaf)}
    told = {it for move in leaving for it in logic.mentions(move.when)}
    told |= {it for selectors in layout.feeds for it in selectors}

    def plan(type_: str, event: str | None) -> Plan | None:
        feeds = layout.fed_by(type_, event)
        considered = tuple(it for it in leaving if logic.considered(it.when, type_, event))
        if not feeds and not considered:
            return None
        return Plan(feeds, considered, any(it.may_take(type_, event) for it in timed))

    plans = {it: plan(*it) for it in logic.kinds(frozenset(told))}
    return Node(
        {event: it for (type_, event), it in plans.items() if it and type_ == TRACK},
        plan(TRACK, logic.OTHER),
        {type_: it for (type_, _), it in plans.items() if it and type_ != TRACK}
        | {MANUAL: Plan((), (), reschedules=False)},
        waits,
        layout.fed_by(LEFT, stage),
    )


def _wait(move: Move, found: tuple[Leaf, ...]) -> Wait:
    guarded = not all(isinstance(it, Leaf) for it in _choices(move.when))
    return Wait(move, found, guarded)


def _choices(when: Condition) -> tuple[Condition, ...]:
    return when.parts if isinstance(when, AnyOf) else (when,)


def _deciding(wait: Wait) -> Iterable[Leaf]:
    """Give the leaves that decide when a deadline falls due."""
    return logic.leaves(wait.move.when) if wait.guarded else wait.leaves


def _changing(leaf: Leaf) -> Iterator[Selector]:
    """Give the touchpoints that may change when a leaf falls due."""
    yield from leaf.mentions
    for need in leaf.wants():
        yield from (need.of, *need.resets) if isinstance(need, Want) else need.selectors
