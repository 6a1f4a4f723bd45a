"""Two of the demo's people are merged and unmerged: the fold of both, and both as they were.

They are two who bought once each, so that one person of both has bought twice; the recount says
where that leads. It is the last that the demo does, and it waits until all of it is taken back.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from msgspec import Struct

from clm_common.errors import Unavailable
from clm_local.demo.dataset import Row
from clm_local.demo.observing import Observer, Profile
from clm_local.demo.recount import way

REASON: Final = "the demo shows how"

_BOUGHT: Final = ["reach", "acquisition", "conversion"]
_PATIENCE: Final = 60.0
_PULSE: Final = 0.1


class Standing(Struct, frozen=True):
    """Where somebody stands."""

    stage: str
    touchpoints: int


class Merge(Struct, frozen=True):
    """Two people, apart, as one, and apart again.

    Attributes:
        person: who stays.
        other: who was merged into them.
        before: where both stood, in this order.
        merged: where the one person of both stood.
        after: where both stand since it was taken back.
        true: the stage that the recount of both comes to.
    """

    person: str
    other: str
    before: list[Standing]
    merged: Standing
    after: list[Standing]
    true: str


class Pair(Struct, frozen=True):
    """Two people to merge, and the stage that one person of both is in."""

    person: str
    other: str
    stage: str


def pick(rows: Iterable[Row], known: Iterable[str], *, shift: int, now: int) -> Pair | None:
    """Find two people who bought once and would have been retained as one.

    Args:
        rows: the clickstream.
        known: those who are customers, and have no mail on its way.
        shift: how far it was moved, µs.
        now: the present instant, µs.
    """
    wanted = set(known)
    of: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.person in wanted:
            of[row.person].append(row)
    ways = {person: way(mine, shift=shift, now=now) for person, mine in sorted(of.items())}
    once = [person for person, stages in ways.items() if stages == _BOUGHT]
    for person, other in pairwise(once):
        both = way([*of[person], *of[other]], shift=shift, now=now)
        if both[-1] == "retention":
            return Pair(person, other, both[-1])
    return None


async def restore(ask: Observer, profiles: Iterable[Profile]) -> None:
    """Take back what a run that was broken off has left merged.

    Raises:
        Unavailable: a service does not answer.
    """
    for it in profiles:
        if len(it.browsers) == 1:
            continue
        for made in await ask.decisions(it.id):
            ours = made.kind == "merge" and made.reason == REASON
            if ours and made.undone_by is None:
                await ask.decide(it.id, "unmerge", decision=str(made.id), reason=REASON)


async def show(ask: Observer, pair: Pair, people: Mapping[str, Profile]) -> Merge:
    """Merge two people, look, and take it back.

    Raises:
        Unavailable: a service does not answer, or it does not come to pass within a minute.
    """
    one, other = people[pair.person], people[pair.other]
    before = [_standing(it) for it in (one, other)]
    made = await ask.decide(one.id, "merge", other=str(other.id), reason=REASON)
    merged = (await until(ask, one, other, one=True))[0]
    await ask.decide(one.id, "unmerge", decision=str(made.id), reason=REASON)
    after = await until(ask, one, other, one=False)
    return Merge(
        pair.person,
        pair.other,
        before,
        _standing(merged),
        [_standing(it) for it in after],
        pair.stage,
    )


def differences(merge: Merge | None) -> list[str]:
    """Say where it differs from the recount, or was not restored."""
    if merge is None:
        return []
    names = f"{merge.person} and {merge.other}"
    sum_ = sum(it.touchpoints for it in merge.before)
    found = []
    if merge.merged != Standing(merge.true, sum_):
        found.append(f"{names} as one: {merge.merged}, not {Standing(merge.true, sum_)}")
    if merge.after != merge.before:
        found.append(f"{names} apart again: {merge.after}, not {merge.before}")
    return found


def _standing(it: Profile) -> Standing:
    return Standing(it.stage, it.touchpoints)


async def until(ask: Observer, first: Profile, second: Profile, *, one: bool) -> Sequence[Profile]:
    """Give both profiles once they are one, or are two.

    Raises:
        Unavailable: that did not come to pass within a minute.
    """
    patience = time.monotonic() + _PATIENCE
    while time.monotonic() < patience:
        found = [await ask.profile(it.id) for it in (first, second)]
        if (found[0].id == found[1].id) == one:  # since then, or between the two looks
            return [await ask.profile(it.id) for it in (first, second)]
        await asyncio.sleep(_PULSE)
    raise Unavailable("demo.unmerged", f"{first.person} and {second.person} do not merge or part")
