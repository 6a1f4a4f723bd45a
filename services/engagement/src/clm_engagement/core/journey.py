"""A journey: who enters it, and the messages it plans; what is planned depends on facts alone.

For each profile, journey and step there is at most one message. Its row says which stage entry
caused it and where it stands; planning again with the same facts changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import Struct
from pydantic import AfterValidator, Field

from clm_common.catalog import Definition, Key, Strict
from clm_common.contracts.ids import delivery_id
from clm_engagement.core.facts import Entry

PENDING: Final = "pending"
SENDING: Final = "sending"
SENT: Final = "sent"
SKIPPED: Final = "skipped"
FAILED: Final = "failed"
UNKNOWN: Final = "unknown"

STATES: Final = (PENDING, SENDING, SENT, SKIPPED, FAILED, UNKNOWN)

HISTORICAL: Final = "historical"
RETRACTED: Final = "retracted"

ONCE: Final = "once"


class When(Strict):
    """What makes a person enter a journey.

    Attributes:
        enters: the stage that must be entered.
        from_: the stages it must be entered from; null stands for "never seen before". Without it,
            any.
    """

    enters: Key
    from_: Annotated[tuple[Key | None, ...], Field(min_length=1)] | None = Field(None, alias="from")


class Step(Strict):
    """One message of a journey.

    Attributes:
        key: its name within the journey.
        send: the channel.
        template: the template's name; its files lie in the folder named after the journey.
    """

    key: Key
    send: Key
    template: Key


def _one_step(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    if len(steps) != 1:
        raise ValueError("a journey has exactly one step so far; make another journey")
    return steps


class Journey(Definition):
    """One journey, as its YAML file says.

    Attributes:
        lifecycle: whose stages `when` names; where a file names none, reading the folder puts the
            main one's key here.
        when: what makes a person enter.
        entry: how often a person may enter: `once` in a lifetime.
        steps: what happens then.
    """

    lifecycle: Key = ""
    when: When
    entry: Literal["once"]
    steps: Annotated[tuple[Step, ...], AfterValidator(_one_step)]


class Message(Struct, frozen=True):
    """One planned message.

    Attributes:
        id: derived from profile, journey, step and enrolment.
        workspace: the workspace's key.
        journey: the journey's key.
        step: the step's key.
        channel: how it is to be delivered.
        enrolment: which entry of this profile into the journey it belongs to.
        profile: whom it was planned for.
        cause: the id of the stage entry.
        entered_at: when the stage was entered, µs of event time.
        state: one of `STATES`.
        reason: why it was skipped or failed, or what is unknown.
    """

    id: UUID
    workspace: str
    journey: str
    step: str
    channel: str
    enrolment: str
    profile: UUID
    cause: UUID
    entered_at: int
    state: str
    reason: str | None


_REPLANNABLE: Final = {(PENDING, None), (SKIPPED, HISTORICAL), (SKIPPED, RETRACTED)}
"""Where nothing has been decided but by planning; anything else stands for ever."""


def plan(
    journeys: Iterable[Journey],
    entries: Sequence[Entry],
    planned: Mapping[UUID, Message],
    *,
    live_since: int,
) -> list[Message]:
    """Plan the messages that some profiles' stage entries call for.

    A stage entered before `live_since`, or because of what was imported from the past, is history:
    its message is planned and skipped at once.
    A message whose stage entry was retracted is skipped, or moves on to an entry that stands.

    Args:
        journeys: the definitions.
        entries: every known entry of these profiles, retracted ones included.
        planned: the messages that exist already, by id.
        live_since: the beginning of the live window, µs.

    Returns:
        The messages that are new or have to be written again.
    """
    by_profile: dict[UUID, list[Entry]] = {}
    for entry in entries:
        by_profile.setdefault(entry.profile, []).append(entry)
    wanted = [
        _message(journey, step, cause, live_since)
        for journey in journeys
        for found in by_profile.values()
        if (cause := _cause(journey, found)) is not None
        for step in journey.steps
    ]
    return [it for it in wanted if _is_news(planned.get(it.id), it)]


def calls_for(journey: Journey, entry: Entry) -> bool:
    """Tell whether a stage entry is one that enters a journey."""
    when = journey.when
    return (
        entry.lifecycle == journey.lifecycle
        and entry.target == when.enters
        and (when.from_ is None or entry.source in when.from_)
    )


def _cause(journey: Journey, entries: Iterable[Entry]) -> Entry | None:
    """Pick the entry that counts: the first that stands, else the first that was retracted."""
    fitting = [entry for entry in entries if calls_for(journey, entry)]
    return min(fitting, key=lambda it: (it.retracted, it.at, it.id), default=None)


def _message(journey: Journey, step: Step, cause: Entry, live_since: int) -> Message:
    state, reason = PENDING, None
    if cause.retracted:
        state, reason = SKIPPED, RETRACTED
    elif cause.historical or cause.at < live_since:
        state, reason = SKIPPED, HISTORICAL
    return Message(
        delivery_id(cause.profile, journey.key, step.key, ONCE),
        cause.workspace,
        journey.key,
        step.key,
        step.send,
        ONCE,
        cause.profile,
        cause.id,
        cause.at,
        state,
        reason,
    )


def _is_news(old: Message | None, new: Message) -> bool:
    if old is None:
        return True
    if (old.state, old.reason) not in _REPLANNABLE:
        return False
    if old.cause != new.cause:
        return True
    return (old.reason == RETRACTED) != (new.reason == RETRACTED)
