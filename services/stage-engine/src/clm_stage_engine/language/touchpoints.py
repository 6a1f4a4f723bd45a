"""How conditions about touchpoints and what they carry are written: event, count, sum, trait ..."""

from __future__ import annotations

from typing import Annotated, Final, Self

from msgspec.structs import replace
from pydantic import Field, model_validator

from clm_common.catalog import Strict
from clm_common.contracts.touchpoint import TYPES, TouchpointType
from clm_stage_engine.core import condition as c
from clm_stage_engine.core.counting import Count
from clm_stage_engine.core.facts import MILLIONTHS
from clm_stage_engine.core.knowing import Known
from clm_stage_engine.core.predicate import Test
from clm_stage_engine.core.selector import Selector
from clm_stage_engine.core.summing import Distinct, Sum
from clm_stage_engine.language.where import (
    Inline,
    PropertyPath,
    TestWritten,
    WhereWritten,
    path_of,
    tests_of,
    where_of,
)
from clm_stage_engine.language.words import (
    Amount,
    Compared,
    Counted,
    Duration,
    Picks,
    selected,
)

_ASKED: Final = Test("exists", True)  # replaced by each test that is written


class EventIs(Strict):
    """`event: NAME` or a list of names, with `nth: N` their nth occurrence.

    Attributes:
        where: what the touchpoint must carry.
    """

    event: Picks
    nth: Annotated[int, Field(ge=1)] | None = None
    where: WhereWritten | None = None

    def core(self) -> c.Condition:
        """Give the condition."""
        return c.Event(selected(self.event, self.where), self.nth)


class TypeIs(Strict):
    """`type: identify`, with `where` what the touchpoint must carry."""

    type: TouchpointType
    where: WhereWritten | None = None

    def core(self) -> c.Condition:
        """Give the condition."""
        return c.Event((Selector(self.type, None, where_of(self.where)),))


def _carrying(path: str, written: TestWritten) -> c.Condition:
    where = tuple(((path,), test) for test in tests_of(written))
    return c.Event(tuple(Selector(it, None, where) for it in TYPES))


class ChannelIs(Strict):
    """`channel: email`, a list, or tests: the channel that this touchpoint came by."""

    channel: TestWritten

    def core(self) -> c.Condition:
        """Give the condition."""
        return _carrying("channel", self.channel)


class SourceIs(Strict):
    """`source: shop`, a list, or tests: the source that sent this touchpoint."""

    source: TestWritten

    def core(self) -> c.Condition:
        """Give the condition."""
        return _carrying("source", self.source)


class CampaignIs(Strict):
    """`campaign: spring-sale`, a list, or tests: the campaign that led to this touchpoint."""

    campaign: TestWritten

    def core(self) -> c.Condition:
        """Give the condition."""
        return _carrying("campaign", self.campaign)


class CountIs(Counted):
    """`count: NAME, gte: N, within: DURATION`: how often it happened.

    Attributes:
        where: what a touchpoint must carry to be counted.
        since_last: a touchpoint after which counting starts anew.
    """

    count: Picks
    where: WhereWritten | None = None
    since_last: Picks | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        return self.bounded()

    def core(self) -> c.Condition:
        """Give the condition."""
        op, than = self.comparison()
        of, resets = selected(self.count, self.where), selected(self.since_last or [], None)
        return Count(op, than, self.within, of, resets=resets)


class SumIs(Compared[Amount]):
    """`sum: PATH, of: NAME, gte: AMOUNT, within: DURATION`: what a property's amounts add up to.

    Attributes:
        where: what a touchpoint must carry to be added.
        since_last: a touchpoint after which adding starts anew.
    """

    sum: PropertyPath
    of: Picks
    where: WhereWritten | None = None
    within: Duration | None = None
    since_last: Picks | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if "*" in path_of(self.sum):
            raise ValueError("a sum adds one amount per touchpoint; name a path without lists")
        return self

    def core(self) -> c.Condition:
        """Give the condition."""
        op, than = self.comparison()
        of, resets = selected(self.of, self.where), selected(self.since_last or [], None)
        amount, path = int(than * MILLIONTHS), path_of(self.sum)
        return Sum(op, amount, self.within, path, of, resets=resets)


class DistinctIs(Counted):
    """`distinct: PATH, of: NAME, gte: N, within: DURATION`: how many different values.

    Attributes:
        where: what a touchpoint must carry to be looked at.
    """

    distinct: PropertyPath
    of: Picks
    where: WhereWritten | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        return self.bounded(always=True)

    def core(self) -> c.Condition:
        """Give the condition."""
        op, than = self.comparison()
        of = selected(self.of, self.where)
        return Distinct(op, than, self.within, path_of(self.distinct), of)


def _each(tests: Inline, known: Known) -> c.Condition:
    """Give one condition per test."""
    found = tuple(replace(known, test=it) for it in tests.tests())
    return found[0] if len(found) == 1 else c.AllOf(found)


class FirstIs(Inline):
    """`first: PATH, of: NAME, eq: VALUE`: what the first of these that carried it carried there.

    Attributes:
        where: what a touchpoint must carry to be looked at.
    """

    first: PropertyPath
    of: Picks
    where: WhereWritten | None = None

    def core(self) -> c.Condition:
        """Give the condition."""
        of, path = selected(self.of, self.where), path_of(self.first)
        return _each(self, Known(of, (path,), _ASKED, first=True))


class LastIs(Inline):
    """`last: PATH, of: NAME, eq: VALUE`: what the last of these that carried it carried there.

    Attributes:
        where: what a touchpoint must carry to be looked at.
        within: how long ago it may have been; after that the value counts as absent.
    """

    last: PropertyPath
    of: Picks
    where: WhereWritten | None = None
    within: Duration | None = None

    def core(self) -> c.Condition:
        """Give the condition."""
        of, path = selected(self.of, self.where), path_of(self.last)
        return _each(self, Known(of, (path,), _ASKED, within=self.within))


class TraitIs(Inline):
    """`trait: NAME, eq: VALUE`: the customer's trait, as the last identify that had it said."""

    trait: PropertyPath

    def core(self) -> c.Condition:
        """Give the condition."""
        path = path_of(self.trait)
        paths = (("traits", *path), ("context", "traits", *path))
        return _each(self, Known((Selector("identify"),), paths, _ASKED))
