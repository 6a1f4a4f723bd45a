"""What the API tells of somebody's past and future: timeline, reasons, and what lies ahead."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from clm_common.instant import to_datetime
from clm_common.runtime.models import Answer
from clm_stage_engine.core import explain
from clm_stage_engine.core.explain import Value
from clm_stage_engine.core.fold import Kind
from clm_stage_engine.views import Next, Outlook


class Guard(Answer):
    """One part of a move's condition, as it stood."""

    condition: str = Field(description="The part in words.")
    value: Value = Field(
        description="What was compared: a count, a sum, a time; or whether it held."
    )
    holds: bool


class Alternative(Answer):
    """A move that was not taken."""

    move: str
    target: str = Field(description="The stage it leads to.")
    met: int = Field(description="Parts of its condition that held, on the way that lacked least.")
    unmet: list[Guard] = Field(description="Those that did not; empty: another move came first.")


class Prospect(Answer):
    """A move that lies ahead."""

    move: str
    target: str = Field(description="The stage it leads to.")
    met: int = Field(description="Parts of its condition that hold, on the way that lacks least.")
    unmet: list[Guard] = Field(description="Those that do not; empty: the next of `at` takes it.")
    at: list[str] = Field(description="The touchpoints at which it is looked at, by name or type.")
    due: datetime | None = Field(
        description="When time alone makes it hold, if nothing else happens before."
    )


class Why(Answer):
    """Why a stage was entered: evaluating it again gives the same."""

    lifecycle: str
    definition: str = Field(description="The digest of the definition that decided.")
    move: str = Field(description="The rule's name.")
    kind: Kind = Field(description="What brought it about.")
    at: datetime = Field(description="When; of a deadline, when it fell due.")
    cause: str | None = Field(description="source/message id of the touchpoint; null: a deadline.")
    guards: list[Guard] = Field(description="Every part of the rule's condition.")
    nearest: list[Alternative] = Field(description="The moves that lacked least, three at most.")
    reason: str | None = Field(default=None, description="Why somebody decided it by hand.")
    author: str | None = Field(default=None, description="Who decided it by hand.")


class Entry(Answer):
    """A touchpoint, or a stage change that stands."""

    at: datetime = Field(description="When it happened, in event time.")
    recorded_at: datetime = Field(description="When it was written down.")
    kind: Literal["touchpoint", "stage_changed"]
    id: str = Field(description="source/message id of a touchpoint, the id of a stage change.")
    type: str | None = Field(default=None, description="Touchpoint: track, identify, page …")
    event: str | None = Field(default=None, description="Touchpoint: the tracked event's name.")
    channel: str | None = Field(
        default=None, description="Touchpoint: how the customer came to it; null: nothing told."
    )
    source: str | None = Field(default=None, description="Stage change: the stage that was left.")
    target: str | None = Field(default=None, description="Stage change: the stage entered.")
    move: str | None = Field(default=None, description="Stage change: the transition's name.")
    cause: str | None = Field(
        default=None, description="Stage change: its touchpoint; null for a deadline."
    )
    lifecycle: str | None = Field(default=None, description="Stage change: in which lifecycle.")
    lifecycle_version: int | None = Field(
        default=None,
        description="Stage change: the published version that decided; null for a file.",
    )
    why: Why | None = Field(
        default=None, description="Stage change: why, where `explain` asks for it."
    )


class TimelinePage(Answer):
    """A piece of a profile's timeline, oldest first."""

    profile_id: UUID
    entries: list[Entry]
    next: str | None = Next
    kept_from: datetime | None = Field(
        default=None,
        description="What happened before this instant is folded into a snapshot: stage changes "
        "are kept, touchpoints are not. Null where everything is kept.",
    )


class Transition(Answer):
    """A stage change that stands (or stood), explained."""

    id: UUID
    at: datetime
    recorded_at: datetime
    source: str | None
    target: str
    move: str
    cause: str | None
    lifecycle: str = Field(description="In which lifecycle.")
    lifecycle_version: int | None = Field(
        description="The published version that decided; null where the installation's file did."
    )
    why: Why | None = Field(
        description="Null where it began, which nothing decides, and where no reason was recorded."
    )


class Due(Outlook):
    """What happens by time alone if nothing happens before."""

    due: datetime


class Ahead(Answer):
    """What could move somebody next."""

    at: datetime = Field(description="The instant it is told of.")
    stage: str = Field(description="The stage that it leads on from.")
    next: Due | None = Field(description="The deadline that moves them; null: time alone does not.")
    moves: list[Prospect] = Field(description="Every move that leads on, the nearest first.")


class Explained(Answer):
    """Why somebody is in their stage, and what could move them on."""

    profile_id: UUID
    transitions: list[Transition] = Field(description="Newest first.")
    outlook: Ahead | None = Field(
        description="Null when looking back, on later pages, and until the person is folded by "
        "the definition that runs."
    )
    next: str | None = Next


def why(record: bytes) -> Why:
    """Read a stored record."""
    found = explain.unpack(record)
    return Why(
        lifecycle=found.lifecycle,
        definition=found.definition,
        move=found.move,
        kind=found.kind,
        at=to_datetime(found.at),
        cause=found.cause,
        guards=_guards(found.guards),
        nearest=[
            Alternative(move=it.move, target=it.target, met=it.met, unmet=_guards(it.unmet))
            for it in found.nearest
        ],
        reason=found.reason,
        author=found.author,
    )


def prospects(found: Iterable[explain.Prospect]) -> list[Prospect]:
    """Write what lies ahead for people."""
    return [
        Prospect(
            move=it.move,
            target=it.target,
            met=it.met,
            unmet=_guards(it.unmet),
            at=[*it.at],
            due=None if it.due is None else to_datetime(it.due),
        )
        for it in found
    ]


def _guards(found: Iterable[explain.Guard]) -> list[Guard]:
    return [Guard(condition=it.condition, value=it.value, holds=it.holds) for it in found]
