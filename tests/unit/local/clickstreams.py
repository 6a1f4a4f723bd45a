"""Builders of made-up clickstreams."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from clm_common import instant
from clm_local.demo.clickstream import EVENTS
from clm_local.demo.dataset import Row

START = instant.from_rfc3339("2024-01-04T11:45:38Z")


def row(
    number: int, event: str, *, day: float = 0.0, person: str = "user_0000", channel: str = "email"
) -> Row:
    """Make a row; `day` counts from the first of January."""
    time = START + round(day * 86_400) * instant.SECOND
    return Row(number, person, "sess_000001", event, time, "desktop", channel)


def rows_of(*events: tuple[float, str]) -> Sequence[Row]:
    """Make one person's rows from (day, event)."""
    return [row(number, event, day=day) for number, (day, event) in enumerate(events)]


_moments = st.tuples(
    st.sampled_from(["user_0000", "user_0001"]),
    st.sampled_from(["purchase", "purchase", "review_page", "account_page", *EVENTS]),
    st.one_of(st.integers(0, 600).map(float), st.floats(0, 600).map(lambda it: round(it, 4))),
)

streams = st.lists(_moments, min_size=1, max_size=40).map(
    lambda moments: [
        row(number, event, day=day, person=person)
        for number, (person, event, day) in enumerate(moments)
    ]
)
