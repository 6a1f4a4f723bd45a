"""Versions of a lifecycle published to a running engine, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from uuid import UUID

import pytest

from clm_common.bus.memory import MemoryBroker
from clm_common.bus.ports import Message
from clm_common.contracts.stage_change import StageChange
from clm_common.instant import DAY, HOUR, to_rfc3339
from clm_common.store.database import Database
from clm_stage_engine import definitions, giants, sweeping
from clm_stage_engine.app import make_board
from clm_stage_engine.changing.comparison import Answer, Comparison, Place, Question
from clm_stage_engine.channel_file import shipped
from clm_stage_engine.core.crossing import follow
from clm_stage_engine.core.eras import Course, Era, Policy
from clm_stage_engine.core.fold import order, pack
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.core.sampling import bound
from clm_stage_engine.cursor import Page
from clm_stage_engine.governing import Board
from clm_stage_engine.queries import explaining, people
from clm_stage_engine.queries.people import Among
from clm_stage_engine.queries.sight import PRESENT
from clm_stage_engine.queries.timelines import timeline as timelines_of
from clm_stage_engine.running import choose
from clm_stage_engine.store import eras, versions
from clm_stage_engine.store.versions import Act, Terms, Version, Written
from tests.support.buyers import NEW, OLD
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import touchpoint

STAYS = {"seen": "seen", "buyer": "buyer", "regular": "regular"}
PEOPLE = 60


class Shop:
    """An engine that goes by what is published, and what is published."""

    def __init__(self, url: str, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "shop.yaml").write_text(OLD)
        self.database = Database(url, schema="stage_engine", name="shop", seconds=people.SECONDS)
        self.broker = MemoryBroker()
        running = choose([folder], "shop")
        self.board: Board = make_board(self.database, running, shipped())
        self.engine = Engine(url, self.broker, lifecycle=self.board)
        self.seed = Written(running.lifecycle.digest, OLD, "installation", "")
        self._stop = asyncio.Event()

    async def draft(self, yaml: str) -> Version:
        written = Written(definitions.parse(yaml).digest, yaml, "ada", "")
        async with self.database.transaction() as tx:
            return await versions.add(tx, "local", "shop", written, self.seed)

    async def publish(
        self, number: int, share: float | None = None, policy: Policy = "re-derive"
    ) -> Act:
        async with self.database.transaction() as tx:
            version = await versions.get(tx, "local", "shop", number)
            stages = {} if policy in {"re-derive", "pin"} else STAYS
            terms = Terms(self.engine.clock.now(), share, policy, stages)
            act = await versions.publish(tx, version, terms, "ada", "")
        await self.board.refresh()
        return act

    async def roll_back(self) -> Act:
        async with self.database.transaction() as tx:
            act = await versions.roll_back(tx, "local", "shop", "ada", "")
        await self.board.refresh()
        return act

    async def swept(self, act: Act, engine: Engine | None = None) -> None:
        """Wait until everybody is folded again and all of it is published."""
        ask = (
            "SELECT count(*) AS n FROM lifecycle_sweep"
            " WHERE publication = $1 AND done_at IS NOT NULL"
        )
        engine = engine or self.engine
        async with asyncio.timeout(60):
            while (await engine.fetch(ask, act.id))[0]["n"] != 6:  # noqa: ASYNC110 - the engine's doing
                await asyncio.sleep(0.05)
        await engine.settled()

    async def agrees(
        self,
        *,
        of: dict[UUID, Lifecycle] | None = None,
        by: str = OLD,
        course: Course | None = None,
        until: int = 0,
    ) -> None:
        """See that rows and river say of everybody what folding their history says."""
        states, published = await self.engine.states(), timelines(self.engine)
        default, count = definitions.parse(by), 0
        async for person in people.people(self.database, Among(None)):
            lifecycle = (of or {}).get(UUID(bytes=person.id.bytes), default)
            deciding = course or Course.of(lifecycle)
            found = follow(deciding, order(person.touches), max(until, deciding.settled))
            assert found.state is not None
            assert states[UUID(bytes=person.id.bytes)][2] == pack(found.state)
            assert published[UUID(bytes=person.id.bytes)] == [
                (it.source, it.target) for it in found.timeline
            ]
            count += 1
        assert count == len(states)


def timelines(engine: Engine) -> dict[UUID, list[tuple[str | None, str]]]:
    """Give everybody's standing stage changes, as a subscriber of the river has them."""
    newest: dict[UUID, StageChange] = {}
    for it in changes(engine):
        if it.id not in newest or newest[it.id].version < it.version:
            newest[it.id] = it
    found: dict[UUID, list[StageChange]] = {}
    for it in newest.values():
        if not it.retracted:
            found.setdefault(it.profile_id, []).append(it)
    for each in found.values():
        each.sort(key=lambda it: (it.at, it.source is not None, it.cause or ""))
    return {profile: [(it.source, it.target) for it in each] for profile, each in found.items()}


def changes(engine: Engine) -> list[StageChange]:
    return [it for it in engine.facts() if isinstance(it, StageChange)]


def crowd(first: int = 0, count: int = PEOPLE, began: int = NOW - 50 * HOUR) -> list[Message]:
    """Person number n bought n % 4 times after having been seen."""
    found: list[Message] = []
    for number in range(first, first + count):
        user = f"u{number}"
        found.append(touchpoint(began, user=user, kind="page"))
        found += [
            touchpoint(began + (1 + at) * HOUR, user=user, event="Buy") for at in range(number % 4)
        ]
    return found


@pytest.fixture
async def shop(
    engine_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Shop]:
    monkeypatch.setattr(eras, "SETTLED", 0.0)
    monkeypatch.setattr(sweeping, "LENGTH", 20)  # several stretches
    made = Shop(engine_url, tmp_path / "lifecycles")
    async with made.database, made.engine:
        await made.engine.send(*crowd())
        await made.engine.settled()
        yield made


async def foretold(shop: Shop) -> Answer:
    old, new = definitions.parse(OLD), definitions.parse(NEW)
    question = Question(new.digest, old.digest, None, 1.0, 3)
    comparison = Comparison(Course.of(new), Course.of(old), Place(question, NOW))
    return await comparison.run(shop.database, lambda _: None)


@pytest.mark.parametrize("huge", [giants.HUGE, 1], ids=["in batches", "beside them"])
async def test_a_publication_folds_everybody_again_and_publishes_what_the_diff_foretold(
    shop: Shop,
    huge: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(giants, "HUGE", huge)
    answer = await foretold(shop)
    before = {(it.id, it.version) for it in changes(shop.engine)}
    assert {it.lifecycle_version for it in changes(shop.engine)} == {None}
    version = await shop.draft(NEW)

    await shop.swept(await shop.publish(version.number))

    assert version.number == 2
    await shop.agrees(by=NEW)
    published = [it for it in changes(shop.engine) if (it.id, it.version) not in before]
    retracted = Counter(it.target for it in published if it.retracted)
    asserted = Counter(it.target for it in published if not it.retracted)
    assert {it.stage: (it.retracted, it.asserted) for it in answer.stage_changes} == {
        stage: (retracted[stage], asserted[stage]) for stage in {*retracted, *asserted}
    }
    assert sum(asserted.values()) == PEOPLE // 2
    assert {it.lifecycle_version for it in published if not it.retracted} == {2}


async def test_a_rollback_gives_every_timeline_back_as_it_was(shop: Shop) -> None:
    before = await shop.engine.states(), timelines(shop.engine)
    version = await shop.draft(NEW)
    await shop.swept(await shop.publish(version.number))
    assert timelines(shop.engine) != before[1]

    act = await shop.roll_back()
    await shop.swept(act)

    assert (act.number, act.action) == (1, "rollback")
    assert (await shop.engine.states(), timelines(shop.engine)) == before


async def test_a_canary_decides_about_its_share_until_it_is_published_or_ended(shop: Shop) -> None:
    before = timelines(shop.engine)
    version = await shop.draft(NEW)
    new = definitions.parse(NEW)
    chosen = {it: new for it in before if it <= bound(0.5)}

    await shop.swept(await shop.publish(version.number, 0.5))
    await shop.agrees(of=chosen)
    canary = timelines(shop.engine)
    await shop.swept(await shop.roll_back())
    await shop.agrees()
    await shop.swept(await shop.publish(version.number, 0.5))
    await shop.swept(await shop.publish(version.number))

    assert 0 < len(chosen) < PEOPLE
    assert {it for it in before if canary[it] != before[it]} <= chosen.keys()
    assert canary != before
    await shop.agrees(by=NEW)


async def test_traffic_during_a_sweep_is_folded_by_the_published_version(shop: Shop) -> None:
    version = await shop.draft(NEW)

    act = await shop.publish(version.number)
    late = [touchpoint(NOW - 60 * HOUR, user=f"u{n}", event="Buy") for n in range(0, PEOPLE, 3)]
    new = [touchpoint(NOW - HOUR, user=f"u{n}", event="Buy") for n in range(1, PEOPLE, 3)]
    for message in [*late, *new, *crowd(PEOPLE, 30)]:
        await shop.engine.send(message)
    await shop.swept(act)

    await shop.agrees(by=NEW)
    assert len(timelines(shop.engine)) == PEOPLE + 30


async def test_a_sweep_goes_on_where_it_was_when_its_engine_dies(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, engine_url: str
) -> None:
    monkeypatch.setattr(sweeping, "LENGTH", 5)
    version = await shop.draft(NEW)
    act = await shop.publish(version.number)
    ask = "SELECT coalesce(sum(folded), 0)::int AS n FROM lifecycle_sweep"
    async with asyncio.timeout(30):
        while (await shop.engine.fetch(ask))[0]["n"] == 0:  # noqa: ASYNC110 - the engine's doing
            await asyncio.sleep(0.01)

    await shop.engine.crash()
    half = (await shop.engine.fetch(ask))[0]["n"]
    async with Engine(engine_url, shop.broker, owner="engine-2", lifecycle=shop.board) as successor:
        await shop.swept(act, successor)

        assert 0 < half < PEOPLE
        assert (await successor.fetch(ask))[0]["n"] == PEOPLE
        await shop.agrees(by=NEW)


async def test_two_who_publish_at_once_do_so_one_after_the_other(shop: Shop) -> None:
    drafts: Sequence[Version] = [await shop.draft(NEW), await shop.draft(OLD)]

    acts = await asyncio.gather(*(shop.publish(it.number) for it in drafts))

    rows = await shop.engine.fetch("SELECT number FROM lifecycle_version WHERE state = 'published'")
    assert [row["number"] for row in rows] == [max(acts, key=lambda it: it.id).number]


async def test_a_version_of_one_workspace_decides_about_no_other(shop: Shop) -> None:
    foreign = [touchpoint(NOW - HOUR - n, user="f", event="Buy", workspace="b") for n in range(2)]
    await shop.engine.send(*foreign)
    await shop.engine.settled()
    before = timelines(shop.engine)
    version = await shop.draft(NEW)

    await shop.swept(await shop.publish(version.number))

    (other,) = {it.profile_id for it in changes(shop.engine) if it.workspace == "b"}
    assert timelines(shop.engine)[other] == before[other] == [(None, "seen"), ("seen", "buyer")]


LAPSING = (
    NEW.replace("nth: 2", "nth: 4") + "  - {from: buyer, to: seen, when: {silent: 3d, of: Buy}}\n"
)
"""By it, nobody of the crowd is regular, and who bought and then was quiet is only seen."""


def course(policy: Policy, since: int = NOW) -> Course:
    stages = STAYS if policy in {"map", "drain"} else {}
    eras = Era(definitions.parse(OLD)), Era(definitions.parse(LAPSING), since, policy, stages)
    return Course(eras)


async def stages_of(shop: Shop) -> Counter[object]:
    return Counter(stage for stage, _, _ in (await shop.engine.states()).values())


@pytest.mark.parametrize("policy", ["map", "pin", "drain"])
async def test_whatever_the_policy_says_of_people_in_flight_late_and_new_touchpoints_keep_to(
    shop: Shop, policy: Policy
) -> None:
    before = timelines(shop.engine)
    version = await shop.draft(LAPSING)
    assert await stages_of(shop) == {"seen": 15, "buyer": 30, "regular": 15}

    await shop.swept(await shop.publish(version.number, policy=policy))

    assert timelines(shop.engine) == before
    await shop.agrees(course=course(policy))
    shop.engine.clock.set(NOW + DAY)
    late = [touchpoint(NOW - 60 * HOUR, user=f"u{n}", event="Buy") for n in range(0, PEOPLE, 6)]
    new = [touchpoint(NOW + HOUR, user=f"u{n}", event="Buy") for n in range(0, PEOPLE, 4)]
    for message in [*late, *new, *crowd(PEOPLE, 8, began=NOW + 2 * HOUR)]:
        await shop.engine.send(message)
    await shop.engine.settled()
    await shop.agrees(course=course(policy), until=NOW + DAY)
    shop.engine.clock.set(NOW + 10 * DAY)
    await shop.engine.settled()
    await shop.agrees(course=course(policy), until=NOW + 10 * DAY)


async def test_who_is_mapped_keeps_the_past_and_lapses_by_the_new_version(shop: Shop) -> None:
    version = await shop.draft(LAPSING)
    known = {(it.id, it.version) for it in changes(shop.engine)}

    await shop.swept(await shop.publish(version.number, policy="map"))
    shop.engine.clock.set(NOW + 3 * DAY)
    await shop.engine.settled()

    published = [it for it in changes(shop.engine) if (it.id, it.version) not in known]
    assert {(it.source, it.target, it.retracted) for it in published} == {("buyer", "seen", False)}
    assert {it.lifecycle_version for it in published} == {2}
    assert min(it.at for it in published) >= to_rfc3339(NOW)
    lapsed = next(it.profile_id for it in published)
    async with shop.database.connection() as db:
        told = await explaining.explained(db, "local", lapsed, PRESENT, Page(None, 9))
        line = await timelines_of(db, "local", lapsed, PRESENT, Page(None, 9), explain=False)
    decided = [it.lifecycle_version for it in line.entries if it.kind == "stage_changed"]
    assert [it.lifecycle_version for it in reversed(told.transitions)] == decided
    assert decided == [None, None, 2]
    assert await stages_of(shop) == {"seen": 45, "regular": 15}


async def test_a_pinned_crowd_is_not_folded_again_and_goes_over_when_it_is_mapped(
    shop: Shop,
) -> None:
    version = await shop.draft(LAPSING)
    pinned = await shop.publish(version.number, policy="pin")
    await shop.swept(pinned)
    ask = "SELECT sum(folded)::int AS n FROM lifecycle_sweep WHERE publication = $1"
    untouched = (await shop.engine.fetch(ask, pinned.id))[0]["n"]
    shop.engine.clock.set(NOW + 3 * DAY)
    await shop.engine.settled()
    kept = await stages_of(shop)

    await shop.swept(await shop.publish(version.number, policy="map"))

    assert untouched == 0
    assert kept == {"seen": 15, "buyer": 30, "regular": 15}
    assert await stages_of(shop) == {"seen": 45, "regular": 15}


async def test_a_rollback_of_a_mapping_gives_every_timeline_back_as_it_was(shop: Shop) -> None:
    before = await shop.engine.states(), timelines(shop.engine)
    version = await shop.draft(LAPSING)
    await shop.swept(await shop.publish(version.number, policy="map"))
    shop.engine.clock.set(NOW + 3 * DAY)
    await shop.engine.settled()
    assert timelines(shop.engine) != before[1]

    await shop.swept(await shop.roll_back())

    assert (await shop.engine.states(), timelines(shop.engine)) == before
