"""When people want to be looked at without a touchpoint."""

from __future__ import annotations

from uuid import UUID

import pytest

from clm_common.instant import DAY, SECOND
from clm_stage_engine.core.fold import State
from clm_stage_engine.profiles import GRACE, LOST, Entry, wakes

NOW = 1_700_000_000 * SECOND
WHO = UUID(int=1)


def somebody(due: int | None, definition: str = "a digest", *, folded: bool = True) -> Entry:
    state = State("reach", NOW - DAY, NOW - DAY, (NOW - DAY, "m"), due, ()) if folded else None
    return Entry(WHO, "local", 3, 0, None, 7, state, definition)


@pytest.mark.parametrize(
    ("entry", "at"),
    [
        (somebody(NOW + DAY), NOW + DAY),
        (somebody(NOW - DAY), NOW + GRACE),
        (somebody(NOW + DAY, LOST), NOW),
        (somebody(None, LOST), NOW),
        (somebody(None, LOST, folded=False), NOW),
    ],
    ids=["to come", "past", "to be folded again", "likewise without a deadline", "or a state"],
)
def test_somebody_is_looked_at(entry: Entry, at: int) -> None:
    assert wakes([entry], NOW) == {WHO: at}


@pytest.mark.parametrize("entry", [somebody(None), somebody(None, folded=False)])
def test_nobody_is_looked_at_who_waits_for_nothing(entry: Entry) -> None:
    assert wakes([entry], NOW) == {}
