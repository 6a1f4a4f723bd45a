"""How long touchpoints are kept, and how late they may come: functions of the event and the clock.

A touchpoint is too late where its event time lies further before its receipt than its source may
be late, or in a month that was not kept any more when it was received. Both instants stand in its
envelope, so the verdict is the same whoever reads it, whenever, and in whatever order.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final

from msgspec import Struct

from clm_common.instant import DAY
from clm_stage_engine.core import months

FOR_EVER: Final = 1200
"""Months that stand for keeping without end."""

ANY_DAYS: Final = 36_500
"""Days of lateness that no touchpoint exceeds; only the history's months bound it then."""

_SHORTEST: Final = 28  # days of a month


class Keeping(Struct, frozen=True, dict=True):
    """What is kept, and what is taken.

    Attributes:
        months: how many whole months before the present one a workspace keeps.
        months_of: workspaces that differ.
        days: how many days a touchpoint may be late.
        days_of: sources that differ, by their ids.
    """

    months: int = FOR_EVER
    months_of: Mapping[str, int] = {}
    days: int = ANY_DAYS
    days_of: Mapping[str, int] = {}

    def months_for(self, workspace: str) -> int:
        """Give the months that a workspace keeps."""
        return self.months_of.get(workspace, self.months)

    @property
    def longest(self) -> int:
        """The months of the workspace that keeps them longest."""
        return max([self.months, *self.months_of.values()])

    def cut(self, workspace: str, now: int) -> int | None:
        """Give the instant (µs) before which a workspace keeps nothing; None where it keeps all."""
        return cut(self.months_for(workspace), now)

    @cached_property
    def punctual(self) -> int:
        """A delay (µs) up to which nothing is too late, whatever it is."""
        days = min([self.days, *self.days_of.values()])
        fewest = min([self.months, *self.months_of.values()])
        return DAY * min(days, _SHORTEST * fewest)

    def is_late(
        self, workspace: str, source: str, *, time: int, received: int, imported: bool
    ) -> bool:
        """Tell whether a touchpoint is too late to count.

        Args:
            workspace: whose it is.
            source: the source that sent it.
            time: when it happened, µs.
            received: when it was received, µs.
            imported: it was imported from the past on purpose: only the history's months bound it.
        """
        if received - time <= self.punctual:
            return False
        if not imported and received - time > self.days_of.get(source, self.days) * DAY:
            return True
        kept_from = self.cut(workspace, received)
        return kept_from is not None and time < kept_from


def cut(keep: int, now: int) -> int | None:
    """Give the first instant (µs) of the oldest month that is kept; None where all are."""
    return None if keep >= FOR_EVER else months.span(months.month_of(now) - keep)[0]
