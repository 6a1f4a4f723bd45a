"""What the demo tells of single people: found by the recount, told and explained by the engine.

A story is a person's transitions with their reasons. So far there is one: somebody who fell silent,
lapsed, and came back. Of another kind `collect` finds another person in the recount.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from msgspec import Struct

from clm_local.demo.observing import Observer
from clm_local.demo.recount import BUYERS, LAPSED, Truth
from clm_local.people import Transition


class Story(Struct, frozen=True):
    """One person's way.

    Attributes:
        title: what it is about.
        person: whose.
        transitions: with their reasons, oldest first.
    """

    title: str
    person: str
    transitions: list[Transition]


async def collect(ask: Observer, truth: Truth, profiles: Mapping[str, UUID]) -> list[Story]:
    """Ask for every story that the file has; `profiles` are the people's.

    Raises:
        Unavailable: a service does not answer.
    """
    return [
        Story(
            f"{person} fell silent, lapsed, and came back",
            person,
            [*reversed((await ask.explained(profiles[person])).transitions)],
        )
        for person in [*truth.returned][:1]
        if person in profiles
    ]


def differences(stories: Sequence[Story], truth: Truth) -> list[str]:
    """Say where stories differ from the recount, or lack a reason."""
    found = [f"nobody of {[*truth.returned]} is told of"] if truth.returned and not stories else []
    for story in stories:
        seen, true = [it.target for it in story.transitions], truth.returned[story.person]
        if seen != true:
            found.append(f"the way of {story.person}: {seen}, not {true}")
        found += [
            f"no reason why {story.person} entered {it.target}"
            for it in story.transitions
            if it.source is not None and not _is_explained(it)
        ]
    return found


def _is_explained(it: Transition) -> bool:
    """Tell whether guards that held say why; a lapse must have come by a deadline."""
    if it.why is None or not any(guard.holds for guard in it.why.guards):
        return False
    return it.why.kind == "deadline" if _is_lapse(it) else it.cause is not None


def _is_lapse(it: Transition) -> bool:
    return it.source in BUYERS and it.target == LAPSED
