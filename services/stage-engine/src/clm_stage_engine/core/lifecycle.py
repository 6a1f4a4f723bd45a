"""A lifecycle: stages, the moves between them, and the table that makes a touchpoint cheap.

The table is `stage -> event -> (what to remember, moves to consider)`; `compiling` makes it.
A touchpoint that no condition mentions is not in it and costs one look-up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from clm_stage_engine.core import logic
from clm_stage_engine.core.condition import AllOf, Condition
from clm_stage_engine.core.counting import Count
from clm_stage_engine.core.facts import Facts
from clm_stage_engine.core.leaf import Leaf
from clm_stage_engine.core.memories import Watch
from clm_stage_engine.core.selector import LEFT, Selector
from clm_stage_engine.core.slots import Slot
from clm_stage_engine.core.timing import Dwell
from clm_stage_engine.core.told import Told, told

ANY: Final = "*"
MANUAL: Final = "move"
"""The type of a touchpoint by which somebody moves a profile by hand; see `fold`."""


class Stage(Struct, frozen=True):
    """A stage; their order in the lifecycle is the order in which people see them.

    Attributes:
        key: its name in the system.
        title: its name for people.
        description: what it means to be there.
        aliases: other names for the same stage.
        entry: what entering it means for whoever works with the customer.
        exit: what leaving it means for them.
        stay: how long nobody is moved on from it (µs), by moves that do not say otherwise.
    """

    key: str
    title: str | None = None
    description: str | None = None
    aliases: tuple[str, ...] = ()
    entry: str | None = None
    exit: str | None = None
    stay: int | None = None


class Rule(Struct, frozen=True):
    """A move as it was written; stages may be named by alias.

    Attributes:
        sources: the stages it leaves; `("*",)` is every stage but the target.
        target: the stage it enters.
        when: its condition, as written.
        name: its name in stage changes; by default `source->target`.
        priority: moves with a higher one are tried first; else the order written decides.
        stay: how long it waits after the stage's entry (µs); None for as long as the stage says.
    """

    sources: tuple[str, ...]
    target: str
    when: Condition
    name: str | None = None
    priority: int | None = None
    stay: int | None = None


class Draft(Struct, frozen=True):
    """A lifecycle as it was written, before it is checked and compiled."""

    key: str
    start: str
    stages: tuple[Stage, ...]
    rules: tuple[Rule, ...]


class Move(Struct, frozen=True):
    """A move from one stage to another, its condition in normal form and bound to facts."""

    name: str
    source: str
    target: str
    when: Condition


class Wait(Struct, frozen=True):
    """A move that time alone can bring about.

    Attributes:
        move: the move.
        leaves: they say when.
        guarded: when one of them becomes true the whole may still not hold.
    """

    move: Move
    leaves: tuple[Leaf, ...]
    guarded: bool


class Plan(Struct, frozen=True):
    """What a touchpoint means in a stage.

    Attributes:
        feeds: the slots that may remember it, and how.
        moves: the moves to consider, in the order they are tried.
        reschedules: it may change when a deadline of this stage falls due.
    """

    feeds: tuple[tuple[int, Watch], ...]
    moves: tuple[Move, ...]
    reschedules: bool


class Node(Struct, frozen=True):
    """A stage's row of the table.

    Attributes:
        events: what tracked events mean here, by name.
        others: what any other tracked event means here.
        types: what touchpoints of the other types mean here.
        waits: the moves with deadlines, in the order they are tried.
        leaves: the slots that remember that this stage was left, and how.
    """

    events: Mapping[str | None, Plan]
    others: Plan | None
    types: Mapping[str, Plan]
    waits: tuple[Wait, ...]
    leaves: tuple[tuple[int, Watch], ...]


class Lifecycle(Struct, frozen=True, dict=True):
    """A compiled lifecycle.

    Attributes:
        key: its name in the system.
        start: the stage that a profile's first touchpoint enters.
        stages: in the order of the definition.
        moves: one per source, in the order of the definition.
        digest: changes when the definition does in a way that can change a timeline.
        watches: what each slot remembers.
        nodes: the table, by stage.
        slots: what each slot is called, for snapshots.
        version: its number among those that a workspace published; None of a file's.
    """

    key: str
    start: str
    stages: tuple[Stage, ...]
    moves: tuple[Move, ...]
    digest: str
    watches: tuple[Watch, ...]
    nodes: Mapping[str, Node]
    slots: tuple[Slot, ...]
    version: int | None = None

    @cached_property
    def blank(self) -> Facts:
        """The facts of a profile that did nothing yet."""
        return tuple(watch.blank() for watch in self.watches)

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Every stage's key, by key and by alias."""
        return stage_names(self.stages)

    @cached_property
    def told(self) -> Mapping[str, tuple[tuple[Move, Told], ...]]:
        """By stage, the moves that leave it, their conditions in words."""
        every = [(move, told(move.when)) for move in self.moves]
        return {at: tuple(it for it in every if it[0].source == at) for at in self.nodes}


def stage_names(stages: Iterable[Stage]) -> dict[str, str]:
    """Give the key of every stage, by key and by alias."""
    return {name: stage.key for stage in stages for name in (stage.key, *stage.aliases)}


def moves(draft: Draft) -> tuple[tuple[int, Move], ...]:
    """Give each rule's number and its moves, one per source, in the order they are tried.

    Conditions are in normal form; what a stage's stay adds to them is part of them.

    Raises:
        Undecidable: a condition negates a deadline.
        KeyError: a rule names a stage that is not there.
    """
    key_of = stage_names(draft.stages)
    stays = {stage.key: stage.stay for stage in draft.stages}
    found: list[tuple[int, Move]] = []
    for number, rule in by_priority(draft.rules):
        target, when = (
            key_of[rule.target],
            logic.normal(logic.mapped(rule.when, lambda it: _renamed(it, key_of))),
        )
        everywhere = [stage.key for stage in draft.stages if stage.key != target]
        sources = everywhere if rule.sources == (ANY,) else [key_of[it] for it in rule.sources]
        for source in sources:
            stay = stays[source] if rule.stay is None else rule.stay
            late = AllOf((when, Dwell(stay))) if stay else when
            found.append((number, Move(rule.name or f"{source}->{target}", source, target, late)))
    return tuple(found)


def by_priority(rules: Iterable[Rule]) -> list[tuple[int, Rule]]:
    """Give rules with their numbers in the order in which they are tried."""
    return sorted(enumerate(rules), key=lambda it: -(it[1].priority or 0))


def _renamed(leaf: Leaf, key_of: Mapping[str, str]) -> Leaf:
    """Put the keys of stages for their aliases.

    Raises:
        KeyError: there is no such stage.
    """
    stays = tuple(Selector(LEFT, key_of[it]) for it in stages_of(leaf))
    return replace(leaf, of=stays) if stays else leaf


def stages_of(condition: Condition) -> Iterator[str]:
    """Give the stages that a condition asks about."""
    for leaf in logic.leaves(condition):
        if isinstance(leaf, Count):
            yield from (it.event or "" for it in leaf.of if it.type == LEFT)
