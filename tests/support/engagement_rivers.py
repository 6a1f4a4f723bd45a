"""Rivers for properties: what stage-engine may publish about a few people, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import strategies as st

from clm_common.contracts.journey import JourneyMessage
from clm_common.instant import HOUR, SECOND
from tests.support.engagement import (
    NOW,
    device,
    entered,
    identified,
    known,
    moved,
    taken_back,
    tracked,
)

_hours = st.integers(min_value=0, max_value=100)
_emails = st.sampled_from(
    ["ann@example.com", "Ann@Example.com", "bob@example.com", "no address", None]
)


@st.composite
def _lives(draw: st.DrawFn, number: int) -> list[JourneyMessage]:
    """A device that may become a customer's, who may flip to another, and all that is published."""
    phone, mine = device(f"phone-{number}"), known(f"user-{number}")
    life: list[JourneyMessage] = []
    if draw(st.booleans()):
        early = entered(
            phone, at=NOW - draw(_hours) * HOUR, source=draw(st.sampled_from([None, "reach"]))
        )
        life += [
            early,
            identified(
                phone, anonymous_id=f"phone-{number}", message_id=f"a-{number}", email=draw(_emails)
            ),
        ]
        if draw(st.booleans()):
            life += [taken_back(early)]
    link = NOW - draw(_hours) * HOUR - number * SECOND
    if draw(st.booleans()):
        life += [moved(phone, phone, mine, at=link, river=each) for each in (phone, mine)]
        if draw(st.booleans()):
            other = known("flip")
            life += [
                moved(phone, mine, other, at=link - HOUR, river=each) for each in (mine, other)
            ]
    for turn in range(draw(st.integers(min_value=0, max_value=3))):
        change = entered(
            mine,
            at=NOW - draw(_hours) * HOUR,
            cause=f"c-{number}-{turn}",
            version=2 + 2 * turn,
            target=draw(st.sampled_from(["acquisition", "conversion"])),
            user_id=f"user-{number}",
        )
        life.append(change)
        if draw(st.booleans()):
            life.append(taken_back(change))
    life += [
        identified(
            mine,
            user_id=f"user-{number}",
            at=NOW - draw(_hours) * HOUR,
            message_id=f"i-{number}-{turn}",
            email=draw(_emails),
            firstName=draw(st.sampled_from(["Ann", None])),
        )
        for turn in range(draw(st.integers(min_value=0, max_value=3)))
    ]
    for turn in range(draw(st.integers(min_value=0, max_value=3))):  # merged, parted, merged again
        ways = (mine, known("merged")) if turn % 2 == 0 else (known("merged"), mine)
        at = NOW - draw(_hours) * HOUR
        life += [moved(mine, *ways, at=at, river=each, moves=turn + 1) for each in ways]
    return [*life, tracked(mine, user_id=f"user-{number}")]


@st.composite
def rivers(draw: st.DrawFn) -> list[JourneyMessage]:
    """Everything that is published about one to three people."""
    people = draw(st.integers(min_value=1, max_value=3))
    return [message for number in range(people) for message in draw(_lives(number))]


@st.composite
def deliveries(draw: st.DrawFn, river: Sequence[JourneyMessage]) -> list[list[JourneyMessage]]:
    """Any order of a river, some of it twice, in any batches."""
    repeated = draw(st.lists(st.sampled_from(river), max_size=5))
    order = draw(st.permutations([*river, *repeated]))
    cuts = sorted(draw(st.lists(st.integers(0, len(order)), max_size=5)))
    places = [0, *cuts, len(order)]
    return [list(order[a:b]) for a, b in pairwise(places)]
