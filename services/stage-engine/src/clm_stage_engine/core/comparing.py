"""What another definition would make of people: their timelines held against each other.

A pure count: the same people, in any order and cut into any pieces, give the same figures. Per
stage they add up: `now` is `same + earlier + later + left`, `then` is `same + earlier + later +
entered`. A stage that the other definition knows by an alias is the same stage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from msgspec import Struct, field

from clm_stage_engine.core.fold import Change
from clm_stage_engine.core.snapshot import Line

Turn = Change | Line
"""A stage that was entered, as the fold gave it or as a snapshot keeps it."""

Verdict = Literal["same", "earlier", "later", "moved"]
"""Where somebody stands: in the same stage since the same instant, since another one, elsewhere."""

SHOWN: Final = 20
"""The newest stage changes that are shown of one person."""

KINDS: Final = 50
"""Kinds of differences of which people are shown."""


class Entered(Struct, frozen=True, gc=False):
    """A line of a timeline: when a stage was entered (µs), and by which move."""

    at: int
    stage: str
    move: str


class Example(Struct, frozen=True):
    """Somebody whose timeline would change: the newest of both, oldest first."""

    profile_id: str
    verdict: Verdict
    now: list[Entered]
    then: list[Entered]


class Differences(Struct):
    """What was counted so far; written down and read back it goes on where it was.

    Attributes:
        people: those with at least one touchpoint.
        touchpoints: theirs, each once.
        rewritten: people who stand as they did, after another past.
        matrix: how many stand where now and would then, by stage now and stage then.
        earlier: of those in the same stage, who would have entered it earlier; by stage.
        later: likewise, later.
        retracted: stage changes that would be taken back, by the stage they entered.
        asserted: stage changes that would be new, by the stage they enter.
        examples: people whose standing or past would change, a few of each kind.
    """

    people: int = 0
    touchpoints: int = 0
    rewritten: int = 0
    matrix: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    earlier: dict[str, int] = field(default_factory=dict[str, int])
    later: dict[str, int] = field(default_factory=dict[str, int])
    retracted: dict[str, int] = field(default_factory=dict[str, int])
    asserted: dict[str, int] = field(default_factory=dict[str, int])
    examples: dict[str, list[Example]] = field(default_factory=dict[str, list[Example]])


class StageLine(Struct, frozen=True):
    """One stage's figures.

    Attributes:
        stage: its key; of a stage that only one definition has, that one's.
        now: people in it.
        then: people who would be in it.
        same: those in it both ways, since the same instant.
        earlier: those in it both ways, then since an earlier instant.
        later: those in it both ways, then since a later instant.
        left: those who would be elsewhere.
        entered: those who would come from elsewhere.
    """

    stage: str
    now: int
    then: int
    same: int
    earlier: int
    later: int
    left: int
    entered: int


def add(  # noqa: PLR0913 - two timelines, and whose they are
    found: Differences,
    profile_id: str,
    touchpoints: int,
    now: Sequence[Turn],
    then: Sequence[Turn],
    *,
    names: Mapping[str, str],
    same_key: bool,
    each: int,
) -> None:
    """Count one person.

    Args:
        found: is added to.
        profile_id: who it is.
        touchpoints: how many the person has; at least one.
        now: the timeline by the definition that decides now.
        then: by the other one, up to the same instant.
        names: the other one's stages by key and alias.
        same_key: both have the same key; of another one every stage change is another one.
        each: how many people of a kind are shown.
    """
    found.people += 1
    found.touchpoints += touchpoints
    last, other = now[-1], then[-1]
    stage = names.get(last.target, last.target)
    _count(found.matrix.setdefault(stage, {}), other.target)
    verdict = _verdict(stage, last.at, other)
    if verdict in {"earlier", "later"}:
        _count(found.earlier if verdict == "earlier" else found.later, stage)
    if same_key and tuple(map(_key, now)) == tuple(map(_key, then)):
        return
    before, after = set(map(_key, now)), set(map(_key, then))
    gone = before - after if same_key else before
    for key in gone:
        _count(found.retracted, key[2])
    for key in after - before if same_key else after:
        _count(found.asserted, key[2])
    is_rewritten = verdict == "same" and _path(now, names) != _path(then, names)
    found.rewritten += is_rewritten
    if verdict != "same" or is_rewritten:
        _show(found, Example(profile_id, verdict, _told(now), _told(then)), stage, each)


def _verdict(stage: str, since: int, other: Turn) -> Verdict:
    if other.target != stage:
        return "moved"
    if other.at == since:
        return "same"
    return "earlier" if other.at < since else "later"


_Key = tuple[int, str | None, str, str | None]


def _key(change: Turn) -> _Key:
    """Give what makes a stage change of one person and lifecycle that change."""
    return change.at, change.source, change.target, change.cause


def _path(timeline: Sequence[Turn], names: Mapping[str, str]) -> list[tuple[int, str]]:
    return [(it.at, names.get(it.target, it.target)) for it in timeline]


def _told(timeline: Sequence[Turn]) -> list[Entered]:
    return [Entered(it.at, it.target, it.move) for it in timeline[-SHOWN:]]


def _show(found: Differences, example: Example, stage: str, each: int) -> None:
    kind = f"{stage} {example.verdict} {example.then[-1].stage}"
    if kind in found.examples:
        shown = found.examples[kind]
    elif each and len(found.examples) < KINDS:
        shown = found.examples[kind] = []
    else:
        return
    if len(shown) < each:
        shown.append(example)


def _count(counts: dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


def stage_lines(found: Differences, stages: Sequence[str]) -> list[StageLine]:
    """Give the figures by stage, in the order given."""
    return [_line(found, stage) for stage in stages]


def _line(found: Differences, stage: str) -> StageLine:
    row = found.matrix.get(stage, {})
    now, stayed = sum(row.values()), row.get(stage, 0)
    then = sum(it.get(stage, 0) for it in found.matrix.values())
    earlier, later = found.earlier.get(stage, 0), found.later.get(stage, 0)
    same = stayed - earlier - later
    return StageLine(stage, now, then, same, earlier, later, now - stayed, then - stayed)
