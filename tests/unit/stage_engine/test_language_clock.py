"""Guards of the customer's clock: zones, hours that are missing or repeated."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from clm_common.instant import MINUTE, from_datetime
from clm_stage_engine import definitions
from clm_stage_engine.core.fold import Touch, advance, fold
from clm_stage_engine.core.lifecycle import Lifecycle
from tests.support.timelines import day


def berlin(year: int, month: int, date: int, hour: int = 0, minute: int = 0) -> int:
    return from_datetime(
        datetime(year, month, date, hour, minute, tzinfo=ZoneInfo("Europe/Berlin"))
    )


def test_a_guard_of_office_hours_waits_for_the_customers_morning() -> None:
    definition = _zoned("{all: [{silent: 1d, of: A}, {local: {hours: '09:00-17:00'}}]}")
    told = Touch(berlin(2026, 3, 3, 20), "m", "track", "A", b"{}")

    changes = fold(definition, [told], until=berlin(2026, 3, 9)).changes

    assert [it.at for it in changes] == [told.time, berlin(2026, 3, 5, 9)]


def test_the_zone_a_customer_told_last_counts() -> None:
    definition = _zoned("{local: {days: [thu], hours: '09:00-10:00'}}")
    body = b'{"type":"identify","traits":{"zone":"America/New_York"}}'
    wrong = b'{"type":"identify","traits":{"zone":"Mars/Olympus"}}'
    first = Touch(berlin(2026, 3, 3, 20), "m1", "identify", None, body)
    second = Touch(berlin(2026, 3, 3, 21), "m2", "identify", None, wrong)

    changes = fold(definition, [first, second], until=berlin(2026, 3, 9)).changes

    assert changes[1].at == berlin(2026, 3, 5, 15)


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        ("02:15-02:45", berlin(2026, 3, 30, 2, 15)),  # the hour is missing on the 29th
        ("02:15-03:30", berlin(2026, 3, 29, 3)),
        ("22:00-01:00", berlin(2026, 3, 28, 22)),
    ],
)
def test_a_missing_hour_is_no_time(hours: str, expected: int) -> None:
    definition = _zoned(f"{{local: {{hours: '{hours}'}}}}")
    told = Touch(berlin(2026, 3, 28, 12), "m", "track", "A", b"{}")

    assert fold(definition, [told], until=berlin(2026, 4, 2)).changes[1].at == expected


def test_a_repeated_hour_counts_twice() -> None:
    definition = _zoned("{local: {hours: '02:15-02:45'}}")
    between = berlin(2026, 10, 25, 2, 45)  # the first time; put back at 3:00 to 2:00

    told = Touch(between, "m", "track", "A", b"{}")

    changes = fold(definition, [told], until=berlin(2026, 10, 26)).changes
    assert changes[1].at == between + 30 * MINUTE


def test_a_guard_that_cannot_come_true_by_time_sets_no_deadline() -> None:
    definition = _zoned("{all: [{local: {hours: '09:00-17:00'}}, {trait: plan, eq: pro}]}")

    state = advance(definition, None, Touch(day(0), "m", "track", "A", b"{}")).state

    assert state.due is None


def _zoned(condition: str) -> Lifecycle:
    return definitions.parse(
        "key: sample\nstart: a\nstages: [{key: a}, {key: b}]\n"
        "time_zone: {default: Europe/Berlin, trait: zone}\n"
        f"moves:\n  - from: a\n    to: b\n    when: {condition}\n"
    )
