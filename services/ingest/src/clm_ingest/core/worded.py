"""Times with words in them, as mails, HTTP and databases write them, rewritten as ISO 8601.

Sources: RFC 5322 (3.3, and 4.3 for old zones and years), RFC 9110 (5.6.7, all three forms).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final

_MONTHS: Final[Sequence[str]] = (
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
)  # fmt: skip
_ZONES: Final[Mapping[str | None, str]] = {
    **dict.fromkeys([None, "Z", "UT", "UTC", "GMT"], "Z"),
    "EST": "-0500", "EDT": "-0400", "CST": "-0600", "CDT": "-0500",
    "MST": "-0700", "MDT": "-0600", "PST": "-0800", "PDT": "-0700",
}  # fmt: skip
_TIME: Final = r"(?P<time>\d{2}:\d{2}(?::\d{2})?)"
_ZONE: Final = r"(?P<zone>[A-Z]{1,3}|[+-]\d{4})"
_MAIL: Final = re.compile(
    rf"(?:[A-Z]{{3,9}}, *)?(?P<day>\d{{1,2}})[ -](?P<month>[A-Z]{{3}})[ -]"
    rf"(?P<year>\d{{4}}|\d{{2}}) +{_TIME}(?: *{_ZONE})?(?: *\([^()]*\))?",
    re.ASCII,
)
"""Fri, 20 Nov 2026 10:00:00 GMT; Friday, 20-Nov-26 10:00:00 GMT; 20 Nov 2026 11:00 +0100 (CET)."""

_SHELL: Final = re.compile(
    rf"[A-Z]{{3}} (?P<month>[A-Z]{{3}}) +(?P<day>\d{{1,2}}) {_TIME}(?: {_ZONE})? (?P<year>\d{{4}})",
    re.ASCII,
)
"""Fri Nov 20 10:00:00 2026, as C writes it; Fri Nov 20 10:00:00 UTC 2026, as a shell does."""

_NAMED_ZONE: Final = re.compile(r"(.*\d) *(?:UTC|GMT|UT)", re.ASCII)
_THIS_CENTURY: Final = "50"


def in_iso(text: str) -> str | None:
    """Rewrite a time with words in it; None if it is none.

    Two digits of a year below 50 are of this century. Without a zone it is UTC.

    Args:
        text: in capital letters.
    """
    if found := _MAIL.fullmatch(text) or _SHELL.fullmatch(text):
        return _rewritten(found)
    named = _NAMED_ZONE.fullmatch(text)  # 2026-11-20 10:00:00 UTC, or +0000 UTC after it
    return named[1] if named else None


def _rewritten(found: re.Match[str]) -> str | None:
    month, year, zone = found["month"], found["year"], found["zone"]
    offset = zone if zone and zone[0] in "+-" else _ZONES.get(zone)
    if month not in _MONTHS or offset is None:
        return None
    if len(year) == len(_THIS_CENTURY):
        year = f"{'20' if year < _THIS_CENTURY else '19'}{year}"
    return f"{year}-{_MONTHS.index(month) + 1:02}-{found['day']:0>2}T{found['time']}{offset}"
