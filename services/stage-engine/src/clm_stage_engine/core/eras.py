"""Eras: which of several definitions decides about somebody, where one follows upon another.

A course is a list of eras. An era begins at the instant of a publication, and its policy says what
becomes of the people in flight, those whose first touchpoint lies before that instant:

- `re-derive`: there is no era before it, the definition decides about the whole past, too;
- `map`: at that instant everybody goes over, and stands in the stage that the table gives;
- `pin`: who is in flight stays with the definition that decides about them;
- `drain`: who is in flight stays until their next change of stage, and goes over with it.

Somebody whose first touchpoint comes later begins with the newest era of then. All of it goes by
event time: a timeline is a function of the set of touchpoints, the course and the clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from hashlib import sha256
from typing import Final, Literal

from msgspec import Struct

from clm_stage_engine.core.fold import State
from clm_stage_engine.core.lifecycle import Lifecycle

Policy = Literal["re-derive", "map", "pin", "drain"]

ALWAYS: Final = -(1 << 62)
"""The instant (µs) at which the first era begins."""


class Era(Struct, frozen=True):
    """A definition, from when on it decides, and what became of the people in flight.

    Attributes:
        lifecycle: the definition.
        since: the instant of its publication, µs.
        policy: how people in flight go over.
        stages: for `map` and `drain`, its stage for every stage that somebody may come from.
    """

    lifecycle: Lifecycle
    since: int = ALWAYS
    policy: Policy = "re-derive"
    stages: Mapping[str, str] = {}


class Place(Struct, frozen=True):
    """Where somebody stands in a course.

    Attributes:
        lifecycle: the definition that decides what comes next.
        drains: with the next change of stage another one takes over.
    """

    lifecycle: Lifecycle
    drains: bool


class Course(Struct, frozen=True, dict=True):
    """The eras of a workspace, oldest first, each later than the one before; at least one."""

    eras: tuple[Era, ...]

    @staticmethod
    def of(lifecycle: Lifecycle) -> Course:
        """Make the course in which one definition decides about everything."""
        return Course((Era(lifecycle),))

    @cached_property
    def lifecycle(self) -> Lifecycle:
        """The newest definition."""
        return self.eras[-1].lifecycle

    @cached_property
    def only(self) -> Lifecycle | None:
        """The definition, where there never was another one."""
        return self.lifecycle if len(self.eras) == 1 else None

    @cached_property
    def name(self) -> str:
        """Name the whole: another course has another name."""
        return self.digest(len(self.eras) - 1, crossed=len(self.eras) > 1)

    @cached_property
    def mapped(self) -> int:
        """The newest era to which everybody in flight went over at once; else the first."""
        return max(at for at, era in enumerate(self.eras) if era.policy == "map" or not at)

    @cached_property
    def settled(self) -> int:
        """The instant (µs) of that era: until then nobody's fold ends before it."""
        return self.eras[self.mapped].since

    @cached_property
    def living(self) -> tuple[Lifecycle, ...]:
        """The definitions that may still decide about somebody, oldest first."""
        return tuple(era.lifecycle for era in self.eras[self.mapped :])

    def began(self, first: int) -> int:
        """Give the era in which somebody with that first touchpoint (µs) begins."""
        return max(at for at, era in enumerate(self.eras) if era.since <= first)

    def standing(self, first: int, instant: int) -> int:
        """Give the era in which somebody stands just before an instant, if nothing drained them."""
        began = self.began(first)
        mapped = (at for at, era in enumerate(self.eras) if era.policy == "map")
        return max([began, *(at for at in mapped if self.eras[at].since < instant)])

    def drained(self, number: int, instant: int) -> int | None:
        """Give the era to which a change of stage at an instant leads from an era, if any."""
        later = range(number + 1, len(self.eras))
        taken = [it for it in later if self._drains(it) and self.eras[it].since <= instant]
        return taken[-1] if taken else None

    def _drains(self, number: int) -> bool:
        return self.eras[number].policy == "drain"

    def digest(self, number: int, *, crossed: bool) -> str:
        """Name the way in which somebody was folded who stands in an era.

        Who began in it was folded by its definition alone. Who went over to it was by all before,
        which no later era changes.
        """
        digest = self.eras[number].lifecycle.digest
        return f"{digest}@{self._ways[number]}" if crossed else digest

    @cached_property
    def _ways(self) -> tuple[str, ...]:
        said = [
            (it.lifecycle.digest, it.since, it.policy, sorted(it.stages.items()))
            for it in self.eras
        ]
        every = range(1, len(said) + 1)
        return tuple(sha256(repr(said[:it]).encode()).hexdigest()[:16] for it in every)

    def number(self, digest: str, first: int) -> int | None:
        """Give the era in which somebody stands who was folded so.

        Args:
            digest: how; see `digest`.
            first: their first touchpoint, µs.

        Returns:
            None where another course folded them.
        """
        began = self.began(first)
        if digest == self.digest(began, crossed=False):
            return began
        later = range(1, len(self.eras))
        return next((it for it in later if digest == self.digest(it, crossed=True)), None)

    def place(self, digest: str, state: State | None) -> Place | None:
        """Tell where somebody stands; None where they must be folded again.

        Args:
            digest: how they were folded.
            state: where that led; None where they have no touchpoint.
        """
        last = len(self.eras) - 1
        number = self.number(digest, self.eras[last].since if state is None else state.first_seen)
        if number is None or number < self.mapped:
            return None
        if state is not None and self.drained(number, state.stage_since) is not None:
            return None
        drains = any(map(self._drains, range(number + 1, last + 1)))
        return Place(self.eras[number].lifecycle, drains)


def definition_of(digest: str) -> str:
    """Give the digest of the definition alone out of what `Course.digest` gave."""
    return digest.partition("@")[0]


class Table(Struct, frozen=True):
    """What becomes of the stages that people may come from.

    Attributes:
        stages: the new stage's key by the old one's.
        missing: old stages that have no counterpart.
        unknown: names in what was said that no definition has: an old stage, or a new one.
    """

    stages: Mapping[str, str]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]


def table(before: Iterable[Lifecycle], lifecycle: Lifecycle, said: Mapping[str, str]) -> Table:
    """Complete a table of stages: a stage that both have, by key or alias, stays what it is.

    Args:
        before: the definitions that people may come from.
        lifecycle: the one that they go to.
        said: the new stage, by key or alias, for old stages by key.
    """
    old = dict.fromkeys(stage.key for it in before for stage in it.stages)
    names = lifecycle.names
    found = {it: names[said.get(it, it)] for it in old if said.get(it, it) in names}
    wrong = [
        *(it for it in said if it not in old),
        *(it for it in said.values() if it not in names),
    ]
    missing = tuple(it for it in old if it not in found and it not in said)
    return Table(found, missing, tuple(dict.fromkeys(wrong)))
