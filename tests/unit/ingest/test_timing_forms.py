"""Event times in words and in numbers of every unit: what mails, HTTP and databases write."""

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_common.instant import from_datetime, from_rfc3339, to_rfc3339
from clm_ingest.core.admission import Origin, admit
from clm_ingest.core.parcel import Limits, unpack_single
from clm_ingest.core.timing import latest_of, normalise, read, text_of

RECEIVED = from_rfc3339("2026-11-22T10:00:00Z")
LATEST = latest_of(text_of(RECEIVED))

MOMENTS = st.datetimes(datetime(1973, 6, 1), datetime(2026, 11, 20))  # noqa: DTZ001 - UTC below


def normalised(value: object) -> str | None:
    found = normalise(read(value), LATEST)
    return None if found is None else found.decode()


@pytest.mark.parametrize(
    "sent",
    [
        "2026-11-20 10:00:00 UTC",
        "2026-11-20 10:00:00 GMT",
        "2026-11-20T10:00:00 utc",
        "2026-11-20 10:00:00.000 UTC",
        "2026-11-20 10:00:00UTC",
        "2026-11-20 10:00:00 +0000 UTC",
        "Fri, 20 Nov 2026 10:00:00 GMT",
        "Fri, 20 Nov 2026 10:00:00 +0000",
        "Fri, 20 Nov 2026 10:00:00 -0000",
        "Fri, 20 Nov 2026 12:00:00 +0200",
        "Fri, 20 Nov 2026 10:00:00 +0000 (UTC)",
        "Fri, 20 Nov 2026 05:00:00 EST",
        "Fri, 20 Nov 2026 10:00:00 UT",
        "Fri, 20 Nov 2026 10:00 Z",
        "Fri, 20 Nov 2026 10:00:00",
        "20 Nov 2026 10:00:00 GMT",
        "Fri, 20-Nov-2026 10:00:00 GMT",
        "Friday, 20-Nov-26 10:00:00 GMT",
        "Fri Nov 20 10:00:00 2026",
        "Fri Nov 20 10:00:00 UTC 2026",
        " fri, 20 nov 2026 10:00:00 gmt ",
        1795168800,
        1795168800.0,
        1795168800000,
        1795168800000000,
        1795168800000000000,
        1795168800000000000.0,
        "1795168800",
        "1795168800.0",
        "1795168800000",
        "1795168800000000",
        "1795168800000000000",
    ],
)
def test_the_same_instant_is_read_in_every_form(sent: object) -> None:
    assert normalised(sent) == "2026-11-20T10:00:00.000000Z"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (99_999_999_999, None),
        (100_000_000_000, "1973-03-03T09:46:40.000000Z"),
        (99_999_999_999_999, None),
        (100_000_000_000_000, "1973-03-03T09:46:40.000000Z"),
        (99_999_999_999_999_999, None),
        (100_000_000_000_000_000, "1973-03-03T09:46:40.000000Z"),
        (1_795_168_800_123_456, "2026-11-20T10:00:00.123456Z"),
        (1_795_168_800_123_456_789, "2026-11-20T10:00:00.123456Z"),
        ("1795168800123456789", "2026-11-20T10:00:00.123456Z"),
        ("100000000000000000000", None),
    ],
)
def test_the_unit_of_a_number_is_told_by_its_size(sent: object, expected: str | None) -> None:
    assert normalised(sent) == expected
    assert normalised(str(sent)) == expected


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37.000000Z"),
        ("Sunday, 06-Nov-94 08:49:37 GMT", "1994-11-06T08:49:37.000000Z"),
        ("Sun Nov  6 08:49:37 1994", "1994-11-06T08:49:37.000000Z"),
        ("6 Nov 94 08:49 PDT", "1994-11-06T15:49:00.000000Z"),
        ("1 Jan 49 00:00:00 GMT", None),
    ],
)
def test_dates_of_mails_and_http_are_read_as_their_rfcs_say(sent: str, expected: str) -> None:
    assert normalised(sent) == expected


@pytest.mark.parametrize(
    "sent",
    [
        "Fri, 31 Nov 2026 10:00:00 GMT",
        "Fri, 20 Nov 2026 25:00:00 GMT",
        "Fri, 20 Foo 2026 10:00:00 GMT",
        "Fri, 20 Nov 2026 10:00:00 ABC",
        "Fri, 20 Nov 2026 10:00:00 +9999",
        "Fri, 20 Nov 2026",
        "Nov 2026",
        "UTC",
        "10:00:00 UTC",
        "2026-11-20 10:00:00 CET",
        "20 Nov \u0662\u0660\u0662\u0666 10:00:00 GMT",
    ],
)
def test_what_only_looks_like_one_is_no_time(sent: str) -> None:
    assert normalised(sent) is None


@given(MOMENTS, st.integers(-23 * 60, 23 * 60))
def test_any_date_of_a_mail_is_the_instant_that_it_was_written_from(
    moment: datetime, minutes: int
) -> None:
    zoned = moment.replace(microsecond=0, tzinfo=timezone(timedelta(minutes=minutes)))

    assert normalised(format_datetime(zoned)) == to_rfc3339(from_datetime(zoned))


@given(MOMENTS)
def test_every_unit_gives_the_same_instant_as_number_and_as_digits(moment: datetime) -> None:
    micros = from_datetime(moment.replace(tzinfo=UTC)) // 1_000_000 * 1_000_000
    units = [micros // 1_000_000, micros // 1_000, micros, micros * 1_000]

    found = {normalised(it) for unit in units for it in (unit, str(unit))}

    assert found == {to_rfc3339(micros)}


def pieces() -> st.SearchStrategy[str]:
    """Give texts that are nearly times."""
    words = ["FRI", "NOV", "UTC", "GMT", "EST", "20", "2026", "94", "10:00:00", "+0100", "0", "6"]
    marks = [" ", ", ", "-", ":", "T", "  ", "(", ")", "+", "Z", ".", "\u0660"]
    return st.lists(st.sampled_from(words + marks), max_size=14).map("".join)


ANYTHING = st.one_of(
    st.text(),
    pieces(),
    st.from_regex(r"-?\d{7,24}(\.\d*)?"),
    st.floats(),
    st.integers(),
    st.datetimes(),
    st.booleans(),
    st.none(),
    st.lists(st.integers()),
)


@given(ANYTHING)
def test_reading_never_raises_and_what_is_written_is_read_as_itself(sent: object) -> None:
    found = normalised(sent)

    assert found is None or normalised(found) == found
    assert found is None or found == to_rfc3339(from_rfc3339(found))


@pytest.mark.parametrize(
    ("fields", "time", "untimed"),
    [
        ({"timestamp": "Fri, 20 Nov 2026 10:00:00 GMT"}, "2026-11-20T10:00:00.000000Z", False),
        ({"originalTimestamp": 1795168800000000}, "2026-11-20T10:00:00.000000Z", False),
        ({"sentAt": "2026-11-20 10:00:00 UTC"}, "2026-11-20T10:00:00.000000Z", False),
        ({"timestamp": "last friday"}, "2026-11-22T10:00:00.000000Z", True),
    ],
)
def test_an_event_lands_with_the_time_it_says(
    fields: dict[str, Any], time: str, *, untimed: bool
) -> None:
    body = msgspec.json.encode({"userId": "u", "event": "X", "messageId": "m", **fields})
    parcel = unpack_single(body, "track")

    verdicts = admit(parcel, Origin("acme", "shop", RECEIVED), Limits(), lambda: "new")

    (message,) = verdicts.admitted
    headers = dict(message.all_headers())
    assert headers["ce_time"] == time.encode()
    assert ("ce_untimed" in headers) is untimed
