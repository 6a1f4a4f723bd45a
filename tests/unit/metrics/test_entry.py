"""What of a stage change can be kept, and what is refused by name."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from clm_common.errors import InvalidMessage
from clm_metrics.core.entry import entry_of
from tests.support.river import change


def test_a_stage_change_is_kept_with_all_that_decides_its_place() -> None:
    seen = change("ada", "2026-11-01T10:00:00Z", "acquisition", source="reach", version=7)

    entry = entry_of(seen)

    assert entry.person == ("acme", "reach", seen.profile_id)
    assert (entry.id, entry.version, entry.retracted) == (seen.id, 7, False)
    assert (entry.source, entry.target, entry.cause) == ("reach", "acquisition", "m-1")


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"version": 0}, "version 0"),
        ({"version": 2**63}, "version 9223372036854775808"),
        ({"at": "yesterday"}, "at 'yesterday' is no RFC 3339 time"),
        ({"at": "0001-01-01T00:00:00Z"}, "not between the years"),
        ({"at": "0001-01-01T00:00:00+14:00"}, "not between the years"),
        ({"at": "9999-12-31T23:59:59-14:00"}, "not between the years"),
        ({"target": "rea\0ch"}, "NUL"),
        ({"cause": "\0"}, "NUL"),
        ({"workspace": ""}, "has not 1 to 128 characters"),
        ({"lifecycle": "x" * 129}, "has not 1 to 128 characters"),
        ({"source": ""}, "has not 1 to 128 characters"),
    ],
)
def test_what_can_never_be_kept_is_refused_and_named(
    broken: dict[str, Any],  # Any: one field each, of its own type
    why: str,
) -> None:
    seen = msgspec.structs.replace(change("ada", "2026-11-01T10:00:00Z", "reach"), **broken)

    with pytest.raises(InvalidMessage, match=why) as refused:
        entry_of(seen)

    assert refused.value.slug == "stage_change.invalid"
