"""How conditions about a lead score are written."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from clm_common.catalog import Strict
from clm_stage_engine.core import condition as c
from clm_stage_engine.core.facts import MILLIONTHS
from clm_stage_engine.core.scoring import Score, ScoreNeed
from clm_stage_engine.language.where import (
    WhereWritten,
)
from clm_stage_engine.language.words import (
    Amount,
    Duration,
    Picks,
    bound_of,
    selected,
)


class Scored(Strict):
    """`{event: NAME, points: N}`: what one touchpoint is worth."""

    event: Picks
    points: Amount
    where: WhereWritten | None = None


def _scored(value: Any) -> Any:  # Any: whatever stands in the file
    if isinstance(value, dict):
        return [{"event": name, "points": points} for name, points in value.items()]
    return value


class ScoreIs(Strict):
    """`score: {NAME: POINTS, ...}, half_life: DURATION, gte: POINTS`: the points of a lead.

    Attributes:
        score: points by name, or a list of `{event, where, points}`.
        half_life: points are halved in each of these.
        linear: points fall evenly to nothing over this.
    """

    score: Annotated[
        list[Scored],
        Field(min_length=1, max_length=100),
        BeforeValidator(_scored, json_schema_input_type=dict[str, float] | list[dict[str, Any]]),
    ]
    half_life: Duration | None = None
    linear: Duration | None = None
    gt: Amount | None = None
    gte: Amount | None = None
    lt: Amount | None = None
    lte: Amount | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.half_life is None) == (self.linear is None):
            raise ValueError("points fade with either half_life or linear; write one of them")
        bound_of(self)
        return self

    def core(self) -> c.Condition:
        """Give the condition."""
        weights = tuple(
            (selector, int(it.points * MILLIONTHS))
            for it in self.score
            for selector in selected(it.event, it.where)
        )
        op, than = bound_of(self)
        fades = self.half_life or self.linear or 0
        need = ScoreNeed(weights, fades, self.linear is not None)
        return Score(need, op, int(than * MILLIONTHS))
