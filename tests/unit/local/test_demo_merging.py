"""The demo's merge: whom it picks, and what it says is amiss."""

from __future__ import annotations

import msgspec
import pytest

from clm_common import instant
from clm_local.demo.dataset import Row
from clm_local.demo.merging import Merge, Pair, Standing, differences, pick
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
