"""Folding touchpoints away where several definitions decide in turn."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from clm_stage_engine.core.crossing import follow
from clm_stage_engine.core.eras import Course
from clm_stage_engine.core.facts import Touch
from clm_stage_engine.core.fold import order
from clm_stage_engine.core.snapshot import Snapshot, follows, line, take
from clm_stage_engine.core.starting import Start


def let_go(
    course: Course, start: Start, touches: Iterable[Touch], imported: AbstractSet[str], cut: int
) -> Snapshot | None:
    """Give the snapshot that takes the place of touchpoints, all before a cut; see `take`.

    It is named after the way in which it was folded, so that the same course goes on exactly.
    """
    begun = start.beginning
    if course.only is not None:
        return take(course.only, begun, touches, imported, cut)
    older = order(touches)
    found = follow(course, older, cut - 1, start)
    if found.state is None:
        return None
    new = [
        line(it.lifecycle, told, historical=follows(told, older, imported, begun))
        for it, told in zip(found.changes, found.timeline, strict=True)
    ]
    return Snapshot(
        cut,
        found.lifecycle.key,
        found.digest,
        found.lifecycle.slots,
        found.state,
        (*begun.lines, *new),
        begun.touchpoints + len(older),
        older[-1].message_id in imported if older else begun.historical,
    )
