"""What `clm doctor` finds: how bad it is, what it is, and what to do about it."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct


class Verdict(StrEnum):
    """How bad it is."""

    GOOD = "good"
    NOTE = "note"
    BAD = "bad"


class Finding(Struct, frozen=True):
    """What a check came to.

    Attributes:
        verdict: how bad it is; a note is no fault.
        what: what was looked at, and how it is.
        remedy: what to do about it.
    """

    verdict: Verdict
    what: str
    remedy: str = ""


def good(what: str) -> Finding:
    """All is well."""
    return Finding(Verdict.GOOD, what)


def note(what: str, remedy: str) -> Finding:
    """Worth knowing, no fault."""
    return Finding(Verdict.NOTE, what, remedy)


def bad(what: str, remedy: str) -> Finding:
    """Must be mended."""
    return Finding(Verdict.BAD, what, remedy)
