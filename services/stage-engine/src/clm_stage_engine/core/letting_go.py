"""Folding touchpoints away where several definitions decide in turn, and several lifecycles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from uuid import UUID

from msgspec.structs import replace

from clm_stage_engine.core.beside import Beside, snapshots_of
from clm_stage_engine.core.crossing import follow
from clm_stage_engine.core.eras import Course
from clm_stage_engine.core.facts import Touch
from clm_stage_engine.core.fold import order
from clm_stage_engine.core.resuming import follows, take
from clm_stage_engine.core.snapshot import Snapshot, line
from clm_stage_engine.core.starting import Start, start


def let_go_by_all(
    course: Course,
    others: Sequence[Beside],
    own: UUID,
    past: tuple[Mapping[UUID, Snapshot], Sequence[Touch], AbstractSet[str]],
    cut: int,
) -> Snapshot | None:
    """Give the snapshot by the main lifecycle, with those by the others; see `let_go`.

    Args:
        course: the main lifecycle's.
        others: what runs beside it.
        own: the profile's id.
        past: its snapshots by identity, its touchpoints before the cut, and the message ids of
            those that were imported.
        cut: the instant, µs.
    """
    snapshots, touches, imported = past

    def by(key: str, decides: Course) -> Snapshot | None:
        begun = start(decides, own, snapshots_of(key, snapshots), touches)
        return let_go(decides, begun, touches, imported, cut)

    main = by(course.lifecycle.key, course)
    found = [by(it.key, it.course) for it in others]
    if main is None or not found:
        return main
    return replace(main, further=tuple(it for it in found if it is not None))


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
