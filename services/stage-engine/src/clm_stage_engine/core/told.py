"""A condition in words: its parts, and the ways in which it may come to hold."""

from __future__ import annotations

from msgspec import Struct

from clm_stage_engine.core import logic
from clm_stage_engine.core.condition import Condition, Not


class Told(Struct, frozen=True):
    """What can be said of a condition without any profile.

    Attributes:
        parts: its leaves (or denied leaves), each once, with its words.
        ways: the places of the parts that make it hold, one set per choice.
    """

    parts: tuple[tuple[Condition, str], ...]
    ways: tuple[tuple[int, ...], ...]


def told(condition: Condition) -> Told:
    """Put a condition in normal form into words."""
    ways = logic.ways(condition)
    place = {
        part: number for number, part in enumerate(dict.fromkeys(it for way in ways for it in way))
    }
    return Told(
        tuple((part, _words(part)) for part in place),
        tuple(tuple(place[part] for part in way) for way in ways),
    )


def _words(part: Condition) -> str:
    words = next(logic.leaves(part)).told()
    return f"not {words}" if isinstance(part, Not) else words
