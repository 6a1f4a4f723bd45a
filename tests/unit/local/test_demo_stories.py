"""The demo's stories: what the engine tells of somebody is what the file says, with reasons."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from clm_common import instant
from clm_local.demo.recount import recount
from clm_local.demo.stories import Story, differences
from clm_local.people import Guard, Transition, Why
from tests.unit.local.clickstreams import START, rows_of

AT = datetime(2024, 1, 1, tzinfo=UTC)
BACK = rows_of((0, "purchase"), (130, "purchase"))
TRUTH = recount(BACK, shift=0, now=START + 131 * instant.DAY)


def transition(source: str | None, target: str, cause: str | None = "shop/m") -> Transition:
    kind = "touchpoint" if cause else "deadline"
    why = Why("d", kind, [Guard("it happened", 1, holds=True)], [])
    return Transition(AT, source, target, "move", cause, why if source else None)


WAY = [
    transition(None, "reach"),
    transition("reach", "conversion"),
    transition("conversion", "acquisition", None),
    transition("acquisition", "conversion"),
]
NOT_SILENT = transition("conversion", "acquisition")
STORY = Story("came back", "user_0000", WAY)


def test_who_lapsed_and_came_back_is_found_by_the_recount() -> None:
    assert TRUTH.returned == {"user_0000": ["reach", "conversion", "acquisition", "conversion"]}


def test_who_never_lapsed_or_never_came_back_is_no_story() -> None:
    now = START + 200 * instant.DAY

    assert recount(rows_of((0, "purchase"), (119, "purchase")), shift=0, now=now).returned == {}
    assert recount(rows_of((0, "purchase")), shift=0, now=now).returned == {}


def test_a_way_with_its_reasons_agrees_with_the_file() -> None:
    assert differences([STORY], TRUTH) == []


@pytest.mark.parametrize(
    ("stories", "named"),
    [
        ([], "nobody of ['user_0000'] is told of"),
        ([msgspec.structs.replace(STORY, transitions=WAY[:-1])], "the way of user_0000"),
        (
            [msgspec.structs.replace(STORY, transitions=[*WAY[:2], NOT_SILENT, WAY[3]])],
            "no reason why user_0000 entered acquisition",
        ),
    ],
    ids=["nobody", "another-way", "a-lapse-without-a-deadline"],
)
def test_what_is_told_otherwise_or_without_a_reason_is_a_difference(
    stories: list[Story], named: str
) -> None:
    assert [it for it in differences(stories, TRUTH) if it.startswith(named)]
