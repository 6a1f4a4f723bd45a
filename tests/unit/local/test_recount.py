"""The recount of the demo, and the engine's own fold: two ways to one truth."""

from __future__ import annotations

from collections import Counter, defaultdict

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from clm_common import instant
from clm_local.demo.clickstream import calls
from clm_local.demo.dataset import Row
from clm_local.demo.recount import STAGES, Truth, recount
from clm_stage_engine import definitions
from clm_stage_engine.core.fold import Change, Touch, fold, order
from tests.unit.local.clickstreams import START, rows_of, streams

REACH = definitions.load(definitions.SHIPPED)["reach"]


def stage_of(*events: tuple[float, str], now: float) -> str:
    truth = recount(rows_of(*events), shift=0, now=START + round(now * instant.DAY))
    return next(stage for stage, people in truth.people.items() if people)


def test_who_only_looks_around_is_reached() -> None:
    assert stage_of((0, "home"), (1, "product_view"), now=2) == "reach"


def test_who_signs_in_is_acquired() -> None:
    assert stage_of((0, "home"), (1, "account_page"), now=2) == "acquisition"


def test_a_second_order_within_half_a_year_retains() -> None:
    assert stage_of((0, "purchase"), (100, "purchase"), now=101) == "retention"


def test_a_hundred_and_twenty_silent_days_lead_back() -> None:
    assert stage_of((0, "purchase"), now=119.9) == "conversion"
    assert stage_of((0, "purchase"), now=120) == "acquisition"


def test_a_review_makes_a_frequent_buyer_loyal() -> None:
    bought = ((0, "purchase"), (1, "purchase"), (2, "purchase"))

    assert stage_of(*bought, (3, "review_page"), now=4) == "loyalty"


def test_only_those_who_come_from_reach_are_welcomed() -> None:
    lapsed = rows_of((0, "purchase"), (1, "account_page"))
    fresh = rows_of((0, "home"), (5, "account_page"))
    now = START + 300 * instant.DAY

    assert recount(lapsed, shift=0, now=now).emails(START) == 0
    assert recount(fresh, shift=0, now=now).emails(START + 5 * instant.DAY) == 1
    assert recount(fresh, shift=0, now=now).emails(START + 6 * instant.DAY) == 0


@settings(max_examples=300)
@given(streams, st.integers(0, 900))
def test_the_engine_s_fold_comes_to_the_same_numbers(rows: list[Row], days: int) -> None:
    shift = 3 * instant.DAY
    now = max(it.time for it in rows) + shift + days * instant.DAY

    truth = recount(rows, shift=shift, now=now)

    assert truth == _folded(rows, shift, now)


def _folded(rows: list[Row], shift: int, now: int) -> Truth:
    """Count what the engine's pure core makes of the calls."""
    touches: defaultdict[str, list[Touch]] = defaultdict(list)
    made = calls(rows, shift=shift)
    for call in made:
        event = call.name if call.kind == "track" else None
        body = msgspec.json.encode({"properties": call.properties})
        person = call.anonymous_id.removeprefix("browser-of-")
        touches[person].append(Touch(call.time, call.message_id, call.kind, event, body))
    changes = {it: fold(REACH, order(found), now).changes for it, found in touches.items()}
    return Truth(
        events=len(made),
        profiles=len(touches),
        people=_filled(Counter(it[-1].target for it in changes.values())),
        entered=_filled(Counter(s for it in changes.values() for s in {c.target for c in it})),
        entries={stage: _days(changes, stage) for stage in STAGES},
        welcomes={
            person: change.at
            for person, found in changes.items()
            for change in found
            if (change.source, change.target) == ("reach", "acquisition")
        },
        returned={
            person: [change.target for change in found]
            for person, found in changes.items()
            if "deadline" in {change.kind for change in found[:-1]}
        },
    )


def _filled(counts: Counter[str]) -> dict[str, int]:
    return {stage: counts[stage] for stage in STAGES}


def _days(changes: dict[str, tuple[Change, ...]], stage: str) -> dict[str, int]:
    found = (c for it in changes.values() for c in it if c.target == stage)
    return dict(sorted(Counter(instant.to_rfc3339(c.at)[:10] for c in found).items()))
