"""What the API answers, for OpenAPI and for those who read it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from clm_common.errors import Rejected
from clm_common.instant import from_datetime, to_datetime
from clm_common.runtime.models import Answer
from clm_engagement.core.journey import PENDING, SENDING, Journey
from clm_engagement.store.listing import Count, Listed

State = Literal["pending", "sent", "skipped", "failed", "unknown"]


class Message(Answer):
    """One planned message, and where it stands."""

    id: UUID
    journey: str
    step: str
    channel: str
    profile_id: UUID = Field(description="The profile it was planned for.")
    entered_at: datetime = Field(description="When the stage was entered, in event time.")
    state: State
    reason: str | None = Field(description="Why it was skipped or failed, or what is unknown.")
    code: str | None = Field(description="The last answer of the other side, if any.")
    waits_for: str | None = Field(description="What a pending message waits for, if anything.")
    attempts: int = Field(description="How often it was handed over.")
    due_at: datetime | None = Field(description="When a pending message is looked at next.")
    planned_at: datetime
    settled_at: datetime | None = Field(description="When it was sent, skipped or given up.")
    reported_at: datetime | None = Field(description="When its touchpoint was published.")


class MessagePage(Answer):
    """Some messages, the latest stage entry first."""

    messages: list[Message]
    next: str | None = Field(default=None, description="Pass it as `cursor` for the next page.")


class Fates(Answer):
    """How many messages there are of each fate; they add up to `planned`."""

    planned: int
    pending: int
    sent: int
    skipped: dict[str, int] = Field(description="By reason.")
    failed: dict[str, int] = Field(description="By reason.")
    unknown: dict[str, int] = Field(description="By what is unknown; these are never sent again.")


class JourneyStep(Answer):
    """A step of a journey, and what became of its messages in this workspace."""

    key: str
    send: str = Field(description="The channel.")
    template: str
    messages: Fates


class JourneyView(Answer):
    """A journey as it is defined."""

    key: str
    title: str | None
    description: str | None
    lifecycle: str
    enters: str = Field(description="The stage that must be entered.")
    from_stages: list[str | None] | None = Field(
        description="From where; null in it: from nowhere."
    )
    entry: str
    steps: list[JourneyStep]


class JourneyList(Answer):
    """All journeys."""

    journeys: list[JourneyView]


def page_of(listed: Sequence[Listed], limit: int) -> MessagePage:
    """Make a page; it has a next one where it is full."""
    following = cursor_of(listed[-1]) if len(listed) == limit else None
    return MessagePage(messages=[_message(it) for it in listed], next=following)


def _message(it: Listed) -> Message:
    values = {name: getattr(it, name) for name in Listed.__struct_fields__}
    for name in ("entered_at", "due_at", "planned_at", "settled_at", "reported_at"):
        values[name] = None if values[name] is None else to_datetime(values[name])
    values["state"] = PENDING if it.state == SENDING else it.state
    return Message.model_validate(values)


def states_of(state: State) -> tuple[str, ...]:
    """Give the states that are shown as this one: what is being sent is still pending."""
    return (PENDING, SENDING) if state == PENDING else (state,)


def cursor_of(it: Listed) -> str:
    """Write the place of a message in the list."""
    return base64.urlsafe_b64encode(
        it.entered_at.to_bytes(8, "big", signed=True) + it.id.bytes
    ).decode()


def place_of(cursor: str) -> tuple[int, UUID]:
    """Read a place.

    Raises:
        Rejected: it is no cursor of ours.
    """
    try:
        raw = base64.b64decode(cursor, altchars=b"-_", validate=True)
        time, last = int.from_bytes(raw[:8], "big", signed=True), UUID(bytes=raw[8:])
        from_datetime(to_datetime(time))
    except (ValueError, OverflowError, binascii.Error) as error:
        raise Rejected(
            422, "cursor.invalid", "cursor: pass the `next` of the page before, unchanged"
        ) from error
    return time, last


def journeys_of(journeys: Iterable[Journey], counts: Sequence[Count]) -> JourneyList:
    """Show the journeys with what became of their messages."""
    return JourneyList(journeys=[_journey(it, counts) for it in journeys])


def _journey(it: Journey, counts: Sequence[Count]) -> JourneyView:
    steps = [
        JourneyStep(
            key=step.key,
            send=step.send,
            template=step.template,
            messages=fates_of([c for c in counts if (c.journey, c.step) == (it.key, step.key)]),
        )
        for step in it.steps
    ]
    return JourneyView(
        key=it.key,
        title=it.title,
        description=it.description,
        lifecycle=it.lifecycle,
        enters=it.when.enters,
        from_stages=None if it.when.from_ is None else list(it.when.from_),
        entry=it.entry,
        steps=steps,
    )


def fates_of(counts: Iterable[Count]) -> Fates:
    """Add counts up by fate."""
    fates = Fates(planned=0, pending=0, sent=0, skipped={}, failed={}, unknown={})
    for it in counts:
        fates.planned += it.messages
        if it.state in {PENDING, SENDING}:
            fates.pending += it.messages
        elif it.state == "sent":
            fates.sent += it.messages
        else:
            by_reason: dict[str, int] = getattr(fates, it.state)
            reason = it.reason or ""
            by_reason[reason] = by_reason.get(reason, 0) + it.messages
    return fates
