"""What the demo came to, as the services show it, held against the recount of the file."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec import Struct

from clm_common import instant
from clm_local.demo import merging, stories
from clm_local.demo.merging import Merge
from clm_local.demo.observing import Message, Observer, Profile, Stage, stages_of
from clm_local.demo.recount import STAGES, Truth
from clm_local.demo.sending import Sent
from clm_local.demo.stories import Story

LIVE_WINDOW = 48 * instant.HOUR
"""Engagement's default: what is older counts as history."""


class Events(Struct, frozen=True):
    """What became of the calls: sent and accepted, refused, and counted by the engine."""

    sent: int
    landed: int
    errors: dict[str, int]


class People(Struct, frozen=True):
    """The profiles of the demo's people."""

    profiles: int
    known: int
    anonymous: int


class Step(Struct, frozen=True):
    """One stage.

    Attributes:
        stage: its key.
        people: who is in it now.
        reached: who ever entered it.
        entries: how often it was entered.
        conversion: the share of those who ever entered the stage before it; None for the first.
    """

    stage: str
    people: int
    reached: int
    entries: int
    conversion: float | None


class Mails(Struct, frozen=True):
    """The welcome messages.

    Attributes:
        planned: how many there are.
        fates: by state, and by reason where there is one.
        caught: how many are in the mail catcher.
        url: where they can be looked at.
    """

    planned: int
    fates: dict[str, int]
    caught: int
    url: str


class Check(Struct, frozen=True):
    """The recount of the file, and where the services differ from it (nowhere, that is)."""

    truth: Truth
    differences: list[str]

    @property
    def agrees(self) -> bool:
        """Whether the services show what the file says."""
        return not self.differences


class Report(Struct, frozen=True):
    """All of it.

    Attributes:
        first_day: of the clickstream, as it was sent.
        last_day: likewise.
        seconds: how long sending took, and how long until all was through.
        person: somebody whose timeline is worth a look.
        stories: people whose way is told with its reasons.
        merge: two people who were merged and unmerged.
    """

    events: Events
    people: People
    stages: list[Step]
    mails: Mails
    recount: Check
    first_day: str
    last_day: str
    seconds: dict[str, float]
    person: str
    stories: Sequence[Story] = ()
    merge: Merge | None = None


class Facts(Struct, frozen=True):
    """What the services say, before it is put in order."""

    profiles: Sequence[Profile]
    strangers: bool
    landed: int
    stages: Sequence[Stage]
    messages: Sequence[Message]
    caught: int
    stories: Sequence[Story] = ()
    merge: Merge | None = None


async def collect(ask: Observer, truth: Truth) -> Facts:
    """Ask the services once; `truth` says of whom there is a story."""
    found = await ask.profiles()
    people = [it for it in found if it.person]
    ids = {it.id for it in people}
    messages = [it for it in await ask.messages() if it.profile_id in ids and it.stands]
    written_to = {it.profile_id for it in messages if it.state not in {"skipped", "pending"}}
    checked = [it for it in people if it.id in written_to]
    landed = sum(it.touchpoints for it in people if it.id not in written_to)
    landed += sum(await asyncio.gather(*(ask.landed(it) for it in checked)))
    caught = await ask.mails([it.person for it in people if it.person])
    told = await stories.collect(ask, truth, {it.person: it.id for it in people if it.person})
    return Facts(
        people, len(found) > len(people), landed, await ask.stages(), messages, len(caught), told
    )


def differences(facts: Facts, truth: Truth, welcomed: range) -> list[str]:
    """Say where the services differ from the recount.

    Args:
        facts: what the services say.
        truth: what the file says.
        welcomed: how many mails may have been sent: the window moves while the demo runs.
    """
    sent = sum(it.state == "sent" for it in facts.messages)
    pairs = {
        "touchpoints": (facts.landed, truth.events),
        "profiles": (len(facts.profiles), truth.profiles),
        "people per stage": (_filled(stages_of(facts.profiles)), truth.people),
        "welcome messages": (len(facts.messages), len(truth.welcomes)),
    }
    if not facts.strangers:
        shown = {it.stage: it for it in facts.stages}
        pairs |= {
            "people per stage in metrics": (
                _filled({name: it.people for name, it in shown.items()}),
                truth.people,
            ),
            "people who ever entered a stage": (
                _filled({name: it.reached for name, it in shown.items()}),
                truth.entered,
            ),
            "stage entries": (
                _filled({name: it.entries.ever for name, it in shown.items()}),
                {stage: sum(days.values()) for stage, days in truth.entries.items()},
            ),
        }
    found = [f"{what}: {seen}, not {true}" for what, (seen, true) in pairs.items() if seen != true]
    if sent not in welcomed:
        found.append(f"welcome mails: {sent}, not {welcomed.start} to {welcomed.stop - 1}")
    return [
        *found,
        *stories.differences(facts.stories, truth),
        *merging.differences(facts.merge),
    ]


def report(
    facts: Facts,
    sent: Sent,
    check: Check,
    *,
    mail_url: str,
    days: tuple[int, int],
    waited: float,
) -> Report:
    """Put it in order.

    Args:
        facts: what the services say.
        sent: what became of the calls.
        check: the recount.
        mail_url: where the mails can be looked at.
        days: the first and the last instant of the clickstream as it was sent, µs.
        waited: the seconds it took until all was through.
    """
    known = sum(it.user_id is not None for it in facts.profiles)
    fates = Counter(_fate(it) for it in facts.messages)
    return Report(
        Events(sent.events, facts.landed, sent.errors),
        People(len(facts.profiles), known, len(facts.profiles) - known),
        [_step(it, is_first=number == 0) for number, it in enumerate(facts.stages)],
        Mails(len(facts.messages), dict(fates), facts.caught, mail_url),
        check,
        instant.to_rfc3339(days[0])[:10],
        instant.to_rfc3339(days[1])[:10],
        {"sending": sent.seconds, "landing": round(waited, 2)},
        _worth_a_look(facts.profiles),
        facts.stories,
        facts.merge,
    )


def _step(it: Stage, *, is_first: bool) -> Step:
    conversion = None if is_first else it.from_previous.value
    return Step(it.stage, it.people, it.reached, it.entries.ever, conversion)


def _fate(it: Message) -> str:
    return f"{it.state}: {it.reason}" if it.reason else it.state


def _worth_a_look(profiles: Sequence[Profile]) -> str:
    """Name the most loyal customer with the most touchpoints."""
    order = {stage: number for number, stage in enumerate(STAGES)}
    known = [it for it in profiles if it.user_id]
    if not known:
        return "user_0000"
    best = max(known, key=lambda it: (order.get(it.stage, -1), it.touchpoints, it.user_id or ""))
    return best.user_id or "user_0000"


def _filled(counts: Mapping[str, int]) -> dict[str, int]:
    return {stage: counts.get(stage, 0) for stage in STAGES}
