"""The demo's merge: whom it picks, and what it says is amiss."""

from __future__ import annotations

from typing import cast
from uuid import UUID, uuid4

import msgspec
import pytest

from clm_common import instant
from clm_local.demo.dataset import Row
from clm_local.demo.merging import Merge, Pair, Standing, differences, pick, until
from clm_local.demo.observing import Observer, Profile
from tests.unit.local.clickstreams import START, rows_of

BOUGHT, RETAINED = Standing("conversion", 7), Standing("retention", 14)
MERGE = Merge("ada", "bob", [BOUGHT, BOUGHT], RETAINED, [BOUGHT, BOUGHT], "retention")


def person(name: str, *events: tuple[float, str]) -> list[Row]:
    return [msgspec.structs.replace(row, person=name) for row in rows_of(*events)]


def test_two_who_bought_once_within_half_a_year_are_picked() -> None:
    once = (0, "account_page"), (1, "purchase")
    rows = [
        *person("ada", *once),
        *person("bob", *once, (2, "purchase")),
        *person("cyd", (3, "account_page"), (4, "purchase")),
        *person("dan", *once),
    ]
    now = START + 10 * instant.DAY

    assert pick(rows, ["ada", "bob", "cyd"], shift=0, now=now) == Pair("ada", "cyd", "retention")
    assert pick(rows, ["ada", "bob"], shift=0, now=now) is None


def test_both_as_one_and_both_restored_is_no_difference() -> None:
    assert differences(MERGE) == []
    assert differences(None) == []


@pytest.mark.parametrize(
    "wrong", [{"merged": BOUGHT}, {"after": [BOUGHT, RETAINED]}], ids=["as one", "apart again"]
)
def test_another_fold_of_both_or_of_one_of_them_is_a_difference(wrong: dict[str, object]) -> None:
    assert len(differences(msgspec.structs.replace(MERGE, **wrong))) == 1


class Merging:
    """An engine that merges (or parts) two people after so many looks at either of them."""

    def __init__(self, looks: int, before: dict[UUID, Profile], after: dict[UUID, Profile]) -> None:
        self._looks, self._before, self._after = looks, before, after

    async def profile(self, profile: UUID) -> Profile:
        self._looks -= 1
        return (self._before if self._looks >= 0 else self._after)[profile]


@pytest.mark.parametrize("looks", range(5))
@pytest.mark.parametrize("one", [True, False])
async def test_neither_of_two_is_looked_at_too_early(looks: int, *, one: bool) -> None:
    ada, bob = (Profile(uuid4(), name, [], "conversion", 7) for name in ("ada", "bob"))
    both = msgspec.structs.replace(ada, stage="retention", touchpoints=14)
    apart, merged = {ada.id: ada, bob.id: bob}, {ada.id: both, bob.id: both}
    engine = Merging(looks, *((apart, merged) if one else (merged, apart)))

    found = await until(cast("Observer", engine), ada, bob, one=one)

    assert found == ([both, both] if one else [ada, bob])
