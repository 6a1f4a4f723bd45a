"""The demo's own check: whatever differs from the file is named, and what is stuck, too."""

from __future__ import annotations

from uuid import UUID, uuid5

import msgspec
import pytest

from clm_common import instant
from clm_common.errors import Unavailable
from clm_local.demo.clickstream import browser_of
from clm_local.demo.observing import Entries, Message, Profile, Share, Stage
from clm_local.demo.recount import STAGES, Truth, recount
from clm_local.demo.reporting import Facts, differences
from clm_local.demo.waiting import Look, Step, walk
from clm_local.errors import LocalError
from tests.unit.local.clickstreams import START, rows_of

NOW = START + 10 * instant.DAY
TRUTH = recount(rows_of((0, "home"), (1, "account_page")), shift=0, now=NOW)
PERSON = uuid5(UUID(int=0), "user_0000")
NONE = Share(None, 0, 0)


def stage_of(name: str, truth: Truth) -> Stage:
    entries = Entries(0, 0, sum(truth.entries[name].values()))
    return Stage(name, truth.people[name], truth.entered[name], entries, NONE, NONE)


def true_facts() -> Facts:
    """Give what the services say when all is well."""
    profile = Profile(PERSON, "user_0000", [browser_of("user_0000")], "acquisition", 3)
    return Facts(
        profiles=[profile],
        strangers=False,
        landed=3,
        stages=[stage_of(name, TRUTH) for name in STAGES],
        messages=[Message(PERSON, "sent", None)],
        caught=1,
    )


def test_services_that_say_what_the_file_says_agree_with_it() -> None:
    assert differences(true_facts(), TRUTH, range(1, 2)) == []


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"landed": 2}, "touchpoints: 2, not 3"),
        ({"profiles": []}, "profiles: 0, not 1"),
        ({"messages": []}, "welcome messages: 0, not 1"),
        ({"stages": []}, "people per stage in metrics"),
    ],
)
def test_each_difference_is_named(wrong: dict[str, object], named: str) -> None:
    facts = msgspec.structs.replace(true_facts(), **wrong)

    found = differences(facts, TRUTH, range(1, 2))

    assert any(line.startswith(named) for line in found)


def test_a_mail_too_many_is_a_difference() -> None:
    assert differences(true_facts(), TRUTH, range(1)) == ["welcome mails: 1, not 0 to 0"]


def test_other_people_in_the_workspace_do_not_count_against_metrics() -> None:
    facts = msgspec.structs.replace(true_facts(), strangers=True, stages=[])

    assert differences(facts, TRUTH, range(1, 2)) == []


async def test_what_makes_no_headway_is_stuck_and_named() -> None:
    async def look() -> Look:
        return Look(done=False, seen="5 records to be read")

    with pytest.raises(LocalError, match=r"metrics makes no headway: 5 records.*clm logs metrics"):
        await walk(Step("metrics", look, patience=0.3), lambda _: None)


async def test_a_service_that_is_away_for_a_moment_is_waited_for() -> None:
    answers = iter([None, Look(done=False, seen="almost"), Look(done=True, seen="")])
    shown: list[str] = []

    async def look() -> Look:
        answer = next(answers)
        if answer is None:
            raise Unavailable("demo.away", "refused")
        return answer

    await walk(Step("metrics", look), shown.append)

    assert shown == ["metrics: refused", "metrics: almost"]
