"""Time travel as a property: what is answered is a replay of what had happened and been recorded.

The replay knows no rows: it attributes the touchpoints sent so far by the earliest link, folds each
profile's, and looks at the changes up to the instant asked about.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from clm_common.bus.memory import MemoryBroker
from clm_common.bus.ports import Message
from clm_common.contracts.ids import ANONYMOUS_ID, USER_ID, profile_id
from clm_common.instant import DAY, from_datetime, to_datetime
from clm_stage_engine.core.facts import Touch
from clm_stage_engine.core.fold import fold, order
from clm_stage_engine.cursor import Page
from clm_stage_engine.queries import profiles, sight, timelines
from clm_stage_engine.queries.sight import Sight
from tests.support.engine import NOW, REACH, Engine
from tests.support.servers import DatabaseServer
from tests.support.touchpoints import touchpoint

ORDER = "Order Completed"
WHOM = [(USER_ID, "u"), (USER_ID, "w"), (ANONYMOUS_ID, "a"), (ANONYMOUS_ID, "b")]

Standing = tuple[str | None, str | None, int | None]
"""Of a profile at an instant: the stage that was left, the one entered, how many touchpoints."""


class Sent(Struct, frozen=True):
    """A touchpoint as the replay knows it."""

    day: int
    user: str | None
    anonymous: str | None
    kind: str
    event: str | None

    @property
    def at(self) -> int:
        return NOW + (self.day - 400) * DAY

    @property
    def name(self) -> str:
        return f"m-{self.day}-{self.user}-{self.anonymous}-{self.kind}"

    @property
    def touch(self) -> Touch:
        return Touch(self.at, f"shop/{self.name}", self.kind, self.event, b"{}")

    @property
    def message(self) -> Message:
        return touchpoint(
            self.at,
            user=self.user,
            anonymous=self.anonymous,
            kind=self.kind,
            event=self.event,
            message_id=self.name,
        )


def owner_of(it: Sent, links: dict[str, str]) -> tuple[str, str]:
    if it.user is not None:
        return USER_ID, it.user
    device = it.anonymous or ""
    return (USER_ID, links[device]) if device in links else (ANONYMOUS_ID, device)


def attribute(known: Sequence[Sent]) -> dict[tuple[str, str], list[Touch]]:
    """Give each profile's touchpoints, devices belonging to the user of their earliest link."""
    links: dict[str, str] = {}
    for it in sorted(known, key=lambda it: (it.touch.time, it.touch.message_id)):
        if it.user is not None and it.anonymous is not None:
            links.setdefault(it.anonymous, it.user)
    mine: dict[tuple[str, str], list[Touch]] = {}
    for it in known:
        mine.setdefault(owner_of(it, links), []).append(it.touch)
    return mine


def replay(touches: Iterable[Touch], as_of: int) -> tuple[Standing, list[tuple[int, str]]] | None:
    """Give how a profile stood at an instant up to its newest touchpoint, and its changes."""
    ordered = order(touches)
    if not ordered:
        return None
    changes = [it for it in fold(REACH, ordered, ordered[-1].time).changes if it.at <= as_of]
    if not changes:
        return None
    count = sum(it.time <= as_of for it in ordered)
    return (
        (changes[-1].source, changes[-1].target, count),
        [(it.at, it.target) for it in changes],
    )


def _sent(who: tuple[str | None, str | None], what: tuple[str, str | None], day: int) -> Sent:
    return Sent(day, *who, *what)


def people() -> st.SearchStrategy[list[Sent]]:
    """Two users who share devices, over more than a year."""
    who = st.sampled_from(
        [(None, "a"), (None, "b"), ("u", None), ("w", None), ("u", "a"), ("w", "a"), ("u", "b")]
    )
    what = st.sampled_from([("page", None), ("identify", None), ("track", ORDER)])
    one = st.builds(_sent, who, what, st.integers(0, 399))
    return st.lists(one, min_size=2, max_size=12, unique_by=lambda it: it.name)


@given(sent=people(), pieces=st.integers(1, 3), seed=st.integers(0, 2**16))
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_an_answer_about_then_is_a_replay_of_what_was_recorded_then(
    database_server: DatabaseServer,
    engine_template: str,
    sent: list[Sent],
    pieces: int,
    seed: int,
) -> None:
    chance = random.Random(seed)
    chance.shuffle(sent)
    async with (
        database_server.lend(engine_template) as url,
        Engine(url, MemoryBroker()) as engine,
    ):
        moments: list[tuple[datetime, list[Sent]]] = []
        known: list[Sent] = []
        for piece in range(pieces):
            known = known + sent[piece::pieces]
            await engine.send(*(it.message for it in sent[piece::pieces]))
            await engine.settled()
            (row,) = await engine.fetch("SELECT clock_timestamp() AS at")
            moments.append((row["at"], known))

        for recorded, then_known in moments:
            await _compare(engine, recorded, then_known, chance)


async def _compare(
    engine: Engine, recorded: datetime, known: Sequence[Sent], chance: random.Random
) -> None:
    attributed = attribute(known)
    for kind, value in WHOM:
        touches = attributed.get((kind, value), [])
        newest = max((it.time for it in touches), default=NOW)
        asked = [*(it.time for it in touches), newest, newest - chance.randrange(400) * DAY]
        for as_of in asked:
            back = Sight(to_datetime(as_of), recorded)
            assert await _answer(engine, kind, value, back) == replay(touches, as_of)


async def _answer(
    engine: Engine, kind: str, value: str, back: Sight
) -> tuple[Standing, list[tuple[int, str]]] | None:
    wanted: UUID = profile_id("local", kind, value)
    async with engine.database.connection() as db:
        owner = await sight.owner(db, "local", wanted, back.recorded)
        if owner != wanted:
            return None
        profile = await profiles.get_at(db, "local", wanted, back)
        page = await timelines.timeline(db, "local", wanted, back, Page(None, 1000))
    changes = [it for it in page.entries if it.kind == "stage_changed"]
    if profile is None:
        assert changes == []
        return None
    assert [it.kind for it in page.entries].count("touchpoint") == profile.touchpoints
    return (
        (changes[-1].source, profile.stage, profile.touchpoints),
        [(from_datetime(it.at), it.target or "") for it in changes],
    )
