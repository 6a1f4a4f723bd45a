"""The funnel: the order of a lifecycle's stages, and the share of people who get to each.

The river does not say in which order stages stand. An operator may (`CLM_STAGE_ORDER`); else they
stand in the order in which people, on average, first enter them. Everybody starts in the start
stage, so that one comes first; the order is a function of the people's timelines alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from msgspec import Struct


class Share(Struct, frozen=True):
    """A fraction of exact counts; a zero denominator has no value.

    Attributes:
        numerator: the people who got there.
        denominator: the people who could have.
    """

    numerator: int
    denominator: int

    @property
    def value(self) -> float | None:
        """The quotient, None where nobody could have."""
        return self.numerator / self.denominator if self.denominator else None


def ordered(
    reached: Mapping[str, int], position: Mapping[str, int], configured: Sequence[str] = ()
) -> tuple[str, ...]:
    """Put the stages of a lifecycle in order.

    Args:
        reached: per stage, how many people ever entered it.
        position: per stage, the sum over them of how many stages they had entered before it.
        configured: the order an operator gave; stages it leaves out follow, and a stage it names
            is listed even while nobody has reached it.
    """
    rest = (stage for stage, people in reached.items() if people and stage not in configured)

    def average(stage: str) -> tuple[Fraction, int, str]:
        return Fraction(position.get(stage, 0), reached[stage]), -reached[stage], stage

    return (*configured, *sorted(rest, key=average))


def shares(order: Sequence[str], reached: Mapping[str, int], *, previous: bool) -> list[Share]:
    """Give, per stage, the people who reached it out of those who reached another stage.

    Args:
        order: the stages in order.
        reached: per stage, how many people of some cohort ever entered it.
        previous: the other stage is the one before it (the first is its own base), instead of the
            first one. It may exceed 1: where people skip a stage, more may reach the one after it.
    """
    bases = (*order[:1], *order[:-1]) if previous else [order[0] for _ in order]
    return [
        Share(reached.get(stage, 0), reached.get(base, 0))
        for stage, base in zip(order, bases, strict=True)
    ]
