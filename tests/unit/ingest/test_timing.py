"""Event times: what senders write, and what it means."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_common.instant import HOUR, from_datetime, from_rfc3339, to_rfc3339
from clm_ingest.core.timing import latest_of, normalise, read, text_of

RECEIVED = from_rfc3339("2026-11-22T10:00:00Z")
LATEST = latest_of(text_of(RECEIVED))


def normalised(value: object) -> str | None:
    found = normalise(read(value), LATEST)
    return None if found is None else found.decode()


@pytest.mark.parametrize(
    "sent",
    [
        "2026-11-21T19:57:32.512+00:00",
        "2026-11-21T19:57:32.512Z",
        "2026-11-21T19:57:32,512Z",
        "2026-11-21 19:57:32.512",
        "2026-11-21 19:57:32.512 +00:00",
        "2026-11-21t19:57:32.512z",
        " 2026-11-21T19:57:32.512Z ",
        "2026-11-21T21:57:32.512+02:00",
        "2026-11-21T21:57:32.512+0200",
        "2026-11-22T01:27:32.512+05:30",
        "20261121T195732.512Z",
        "2026-W47-6T19:57:32.512Z",
        "2026-325T19:57:32.512Z",
        "2026325T195732.512",
        1795291052512,
        1795291052.512,
        "1795291052512",
        "1795291052.512",
    ],
)
def test_the_same_instant_is_read_in_every_form(sent: object) -> None:
    assert normalised(sent) == "2026-11-21T19:57:32.512000Z"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("2026-11-21", "2026-11-21T00:00:00.000000Z"),
        ("2026-11", "2026-11-01T00:00:00.000000Z"),
        ("2026-11-21T19", "2026-11-21T19:00:00.000000Z"),
        ("2026-11-21T19:57:32Z", "2026-11-21T19:57:32.000000Z"),
        ("2026-11-21T19:57:32.123456789Z", "2026-11-21T19:57:32.123456Z"),
        (1_704_067_200, "2024-01-01T00:00:00.000000Z"),
        (0, "1970-01-01T00:00:00.000000Z"),
    ],
)
def test_what_is_left_out_is_zero(sent: object, expected: str) -> None:
    assert normalised(sent) == expected


@pytest.mark.parametrize(
    "sent",
    [
        None, "", " ", "yesterday", "null", "NaN", True, [], {"at": 1}, "2026-13-40", "2026-02-30",
        "9" * 5_000, 1e308, -1e308, float("inf"), float("nan"), "2026-11-21T25:00:00Z",
        "\u0662\u0660\u0662\u0666-\u0661\u0661-\u0662\u0661", "2026-000", "2026-366",
    ],
)  # fmt: skip
def test_what_is_no_time_is_none(sent: object) -> None:
    assert normalised(sent) is None


@pytest.mark.parametrize("sent", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", -1])
def test_zero_values_before_the_epoch_are_no_times(sent: object) -> None:
    assert normalised(sent) is None


def test_a_clock_may_be_a_day_ahead_and_not_more() -> None:
    a_day_ahead, beyond = to_rfc3339(RECEIVED + 24 * HOUR), to_rfc3339(RECEIVED + 24 * HOUR + 1)

    assert normalised(a_day_ahead) == a_day_ahead
    assert normalised(beyond) is None


@given(
    st.datetimes(datetime(1970, 1, 3), datetime(2026, 11, 20)),  # noqa: DTZ001 - the zone is drawn next
    st.integers(-14 * 60, 14 * 60),
)
def test_any_offset_gives_the_same_instant(moment: datetime, minutes: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=minutes)))

    assert normalised(zoned.isoformat()) == to_rfc3339(from_datetime(zoned))


@given(st.integers(0, 10**16))
def test_the_quick_way_to_write_an_instant_gives_the_same_text(micros: int) -> None:
    assert text_of(micros).decode() == to_rfc3339(micros)


@given(st.one_of(st.text(), st.floats(), st.integers(), st.datetimes(timezones=st.just(UTC))))
def test_nothing_is_worse_than_untimed(sent: object) -> None:
    found = normalised(sent)

    assert found is None or to_rfc3339(from_rfc3339(found)) == found
