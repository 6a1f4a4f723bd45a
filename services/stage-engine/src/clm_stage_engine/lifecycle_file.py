"""How a lifecycle is written: the strict model of `lifecycles/<key>.yaml`.

Conditions are written as `language.conditions` says. What a model cannot see (unknown stages, dead
moves) is for `core.soundness`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec.structs import replace
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from clm_common.catalog import Definition, Key, Strict
from clm_common.contracts.touchpoint import TYPES
from clm_stage_engine.core.leaf import Leaf
from clm_stage_engine.core.lifecycle import ANY, Draft, Rule, Stage
from clm_stage_engine.core.localtime import Local, ZoneNeed, zone
from clm_stage_engine.core.logic import mapped
from clm_stage_engine.core.selector import Selector
from clm_stage_engine.language.conditions import When
from clm_stage_engine.language.where import PropertyPath, path_of
from clm_stage_engine.language.words import Duration, one_or_more


def _alone(sources: list[str]) -> list[str]:
    if ANY in sources and len(sources) > 1:
        raise ValueError('"*" stands alone: it is every stage but the target')
    return sources


Source = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z][a-z0-9]*(-[a-z0-9]+)*)$")]


class StageLine(Strict):
    """One of `stages`.

    Attributes:
        key: its name in the system.
        title: its name for people.
        description: what it means to be there.
        aliases: other names for the same stage.
        entry: what entering it means for whoever works with the customer.
        exit: what leaving it means for them.
        stay: nobody is moved on from it sooner than this, by moves that do not say otherwise.
    """

    key: Key
    title: str | None = None
    description: str | None = None
    aliases: list[Key] = Field(default_factory=list[Key])
    entry: str | None = None
    exit: str | None = None
    stay: Duration | None = None


class MoveLine(Strict):
    """One of `moves`: from, to, when; `from: "*"` is every stage but the target.

    Attributes:
        sources: the stages it leaves (written `from`).
        to: the stage it enters.
        when: its condition.
        name: its name in stage changes; by default `from->to`.
        priority: moves with a higher one are tried first (0 where none is written); among equals
            the order written decides, where no two of them could hold at once.
        stay: instead of the stage's own: how long it waits after the stage's entry, or `none`.
    """

    sources: Annotated[
        list[Source],
        Field(alias="from", min_length=1),
        BeforeValidator(one_or_more, json_schema_input_type=str | list[str]),
        AfterValidator(_alone),
    ]
    to: Key
    when: When
    name: Key | None = None
    priority: Annotated[int, Field(ge=-1000, le=1000)] | None = None
    stay: Duration | Literal["none"] | None = None

    def rule(self, clock: Clock) -> Rule:
        """Give the move; conditions about the customer's clock know its time zone."""
        stay = 0 if self.stay == "none" else self.stay
        when = mapped(self.when.core(), clock.set)
        return Rule(tuple(self.sources), self.to, when, self.name, self.priority, stay)


def _zone(name: str) -> str:
    zone(name)
    return name


class Clock(Strict):
    """`time_zone: {default: Europe/Berlin, trait: timezone}`: where customers are.

    Attributes:
        default: the zone of those who told none.
        trait: the trait in which they tell it; a touchpoint's `context.timezone` tells it, too.
    """

    default: Annotated[str, AfterValidator(_zone)] = "UTC"
    trait: PropertyPath = "timezone"

    def set(self, leaf: Leaf) -> Leaf:
        """Give a condition that knows the time zone, if it asks for it."""
        if not isinstance(leaf, Local):
            return leaf
        trait = path_of(self.trait)
        paths = (("traits", *trait), ("context", "traits", *trait), ("context", "timezone"))
        need = ZoneNeed(tuple(Selector(it) for it in TYPES), paths)
        return replace(leaf, default=self.default, need=need)


class LifecycleFile(Definition):
    """A lifecycle as it is written."""

    start: Key
    stages: Annotated[list[StageLine], Field(min_length=1, max_length=50)]
    moves: Annotated[list[MoveLine], Field(max_length=200)]
    time_zone: Clock = Clock()

    def draft(self) -> Draft:
        """Give what `core.soundness` checks and `core.lifecycle` compiles."""
        stages = tuple(
            Stage(it.key, it.title, it.description, tuple(it.aliases), it.entry, it.exit, it.stay)
            for it in self.stages
        )
        rules = tuple(it.rule(self.time_zone) for it in self.moves)
        return Draft(self.key, self.start, stages, rules)
