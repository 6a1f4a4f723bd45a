"""The oldest months folded into snapshots, on a real PostgreSQL: all stays right."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from clm_common.bus.memory import MemoryBroker
from clm_common.bus.ports import Message, Publisher
from clm_common.clock import ManualClock
from clm_common.contracts.topics import PARTITIONS, TOUCHPOINTS
from clm_common.instant import DAY, from_datetime, to_datetime, to_rfc3339
from clm_common.runtime.relay import Relay
from clm_stage_engine import definitions, housekeeping, retention
from clm_stage_engine.arrivals import Arrival, arrive
from clm_stage_engine.cache import Cache
from clm_stage_engine.changing.comparison import Comparison, Place, Question
from clm_stage_engine.core import months
from clm_stage_engine.core.eras import Course
from clm_stage_engine.core.fold import fold, order, pack
from clm_stage_engine.core.keeping import Keeping
from clm_stage_engine.cursor import Page
from clm_stage_engine.queries import profiles, timelines, touchpoints
from clm_stage_engine.queries.exporting import export
from clm_stage_engine.queries.sight import Sight
from clm_stage_engine.queries.touchpoints import Wanted
from clm_stage_engine.retention import Retention
from clm_stage_engine.store import floors
from clm_stage_engine.store.ids import profile_id
from clm_stage_engine.store.months import existing
from tests.support.engine import NOW, Engine, timeline_of
from tests.support.touchpoints import touchpoint

Entered = tuple[str, str, str | None]
"""(at, target, cause)"""

KEEPING = Keeping(months=3)
LATER = months.span(months.month_of(NOW) + 1)[0] + 10 * DAY
"""In the next month, when the oldest of the months kept has outstayed its time."""

SINCE = months.span(months.month_of(LATER) - 3)[0]
OLD = SINCE - 5 * DAY
"""In the month that goes: it is kept at `NOW` and not at `LATER`."""


@pytest.fixture
async def url(engine_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(floors, "SETTLED", 0.0)
    monkeypatch.setattr(retention, "REFRESH", 0.0)
    monkeypatch.setattr(retention, "LENGTH", 20)  # several portions
    return engine_url


@pytest.fixture
async def engine(url: str) -> AsyncGenerator[Engine]:
    async with Engine(url, MemoryBroker(), keeping=KEEPING) as opened:
        yield opened


def crowd(count: int = 40) -> list[Message]:
    """Person number n ordered n % 4 times in the old month and (n // 4) % 3 times after it."""
    found: list[Message] = []
    for number in range(count):
        user = f"u{number}"
        found.append(touchpoint(OLD, user=user, kind="page"))
        found += [
            touchpoint(OLD + (1 + at) * DAY, user=user, event="Order Completed")
            for at in range(number % 4)
        ]
        found += [
            touchpoint(SINCE + (9 + at) * DAY, user=user, event="Order Completed")
            for at in range((number // 4) % 3)
        ]
    return found


async def fold_away(engine: Engine, within: float = 30.0) -> None:
    """Let the month turn and wait until every partition has folded what is too old away."""
    engine.clock.set(LATER)
    await housekeeping.raise_floors(engine.database, engine.keeping, LATER)
    async with asyncio.timeout(within):
        while not await _are_done(engine):  # noqa: ASYNC110 - another task's doing
            await asyncio.sleep(0.02)
    await engine.settled()


async def _are_done(engine: Engine) -> bool:
    async with engine.database.connection() as db:
        return await floors.are_done(db, PARTITIONS)


async def kept(engine: Engine) -> tuple[int, int]:
    """Give how many touchpoints and how many snapshots there are."""
    counted = "SELECT (SELECT count(*) FROM history) AS a, (SELECT count(*) FROM snapshot) AS b"
    (row,) = await engine.fetch(counted)
    return row["a"], row["b"]


def truth(engine: Engine, until: int) -> dict[UUID, tuple[list[Entered], bytes]]:
    """Give every customer's timeline and state as folding all that was sent gives them."""
    touches: dict[UUID, list[Arrival]] = {}
    for arrival in map(arrive, engine.broker.records(TOUCHPOINTS.name)):
        assert arrival.user is not None
        touches.setdefault(profile_id(*arrival.user), []).append(arrival)
    found: dict[UUID, tuple[list[Entered], bytes]] = {}
    for each, arrivals in touches.items():
        step = fold(engine.lifecycle, order(arrivals), until)
        assert step.state is not None
        timeline = [(to_rfc3339(it.at), it.target, it.cause) for it in step.changes]
        found[each] = timeline, pack(step.state)
    return found


async def standing(engine: Engine) -> dict[UUID, tuple[list[Entered], bytes]]:
    """Give the same as the river and the rows say."""
    facts = engine.facts()
    return {
        each: ([(it.at, it.target, it.cause) for it in timeline_of(facts, each)], bytes(state))
        for each, (_, _, state) in (await engine.states()).items()
        if isinstance(state, bytes)
    }


async def test_what_is_too_old_becomes_a_snapshot_and_nobodys_stage_changes(
    engine: Engine,
) -> None:
    await engine.send(*crowd())
    await engine.settled()
    engine.clock.set(LATER)
    await engine.settled()
    states, published = await engine.states(), len(engine.facts())

    await fold_away(engine)

    assert await kept(engine) == (36, 40)
    assert await engine.states() == states
    assert len(engine.facts()) == published


async def test_late_touchpoints_fold_on_from_the_snapshot_as_if_everything_were_there(
    engine: Engine,
) -> None:
    late = [
        touchpoint(SINCE + 8 * DAY, user=f"u{number}", event="Order Completed")
        for number in range(40)
    ]
    await engine.send(*crowd())
    await engine.settled()
    await fold_away(engine)

    await engine.send(*late)
    await engine.settled()

    assert await kept(engine) == (76, 40)
    assert await standing(engine) == truth(engine, LATER)
    counts = {each: it[1] for each, it in (await engine.states()).items()}
    assert sum(int(str(it)) for it in counts.values()) == len(crowd()) + 40


async def test_a_device_with_a_past_takes_it_along_to_the_customer_it_turns_out_to_be(
    engine: Engine,
) -> None:
    await engine.send(
        touchpoint(OLD, anonymous="tablet", kind="page"),
        touchpoint(OLD + DAY, anonymous="tablet", event="Order Completed"),
        touchpoint(SINCE + 9 * DAY, anonymous="tablet", event="Order Completed"),
    )
    await engine.settled()
    await fold_away(engine)

    await engine.send(
        touchpoint(SINCE + 8 * DAY, user="ada", event="Order Completed"),
        touchpoint(SINCE + 10 * DAY, user="ada", anonymous="tablet", kind="identify"),
    )
    await engine.settled()

    timeline = engine.timeline("user_id", "ada")
    assert [(it.at, it.target) for it in timeline] == [
        (to_rfc3339(OLD), "reach"),
        (to_rfc3339(OLD + DAY), "conversion"),
        (to_rfc3339(SINCE + 8 * DAY), "retention"),
    ]
    assert engine.timeline("anonymous_id", "tablet") == []
    assert (await engine.states())[profile_id("local", "user_id", "ada")][1] == 5


async def test_whoever_takes_over_goes_on_where_somebody_was_killed(url: str) -> None:
    broker, clock = MemoryBroker(), ManualClock(NOW)
    async with Engine(url, broker, keeping=KEEPING, clock=clock) as first:
        await first.send(*crowd(120))
        await first.settled()
        clock.set(LATER)
        await first.settled()
        await housekeeping.raise_floors(first.database, KEEPING, LATER)
        async with asyncio.timeout(30):
            while not (await kept(first))[1]:  # noqa: ASYNC110 - the engine's doing
                await asyncio.sleep(0)
        await first.crash()
        assert await kept(first) != (120, 120)

    async with Engine(url, broker, owner="engine-2", keeping=KEEPING, clock=clock) as second:
        await fold_away(second)

        assert await kept(second) == (120, 120)
        (row,) = await second.fetch("SELECT sum(people) AS n FROM history_fold")
        assert row["n"] == 120
        await second.send(touchpoint(SINCE + DAY, user="u7", event="Order Completed"))
        await second.settled()
        assert await standing(second) == truth(second, LATER)


async def test_what_comes_from_below_the_floor_is_late_whatever_its_envelope_says(
    engine: Engine,
) -> None:
    await engine.send(*crowd(4))
    await engine.settled()
    await fold_away(engine)

    await engine.send(touchpoint(OLD + DAY, user="u0", event="Order Completed", received=NOW))
    await engine.settled()

    assert await engine.fetch("SELECT source, marks FROM late_touchpoint") == [
        {"source": "shop", "marks": ""}
    ]
    assert [it.target for it in engine.timeline("user_id", "u0")] == ["reach"]


async def test_nothing_is_let_go_before_it_is_published_by_every_partition(
    engine: Engine,
) -> None:
    await engine.send(*crowd(4))
    await engine.settled()
    await engine.crash()
    await housekeeping.raise_floors(engine.database, KEEPING, LATER)
    waiting, idle = relay(committed=1), relay(committed=0)

    async with engine.database.transaction() as tx:
        behind = await Retention(0, PARTITIONS, waiting, Cache(9)).next(tx, engine.board.rules, 0)
    for partition in range(PARTITIONS - 1):
        async with engine.database.transaction() as tx:
            mine = Retention(partition, PARTITIONS, idle, Cache(9))
            begun = await mine.next(tx, engine.board.rules, LATER)
            assert begun is not None
            await begun.write(tx, 1)
            begun.committed()
            others = await mine.next(tx, engine.board.rules, LATER)
            assert others is None

    assert behind is None
    assert (await kept(engine))[1] == 0


def relay(committed: int) -> Relay:
    """Make a relay that has published nothing yet."""

    async def publisher() -> Publisher:
        raise NotImplementedError

    async def load(after: int, limit: int) -> tuple[int, list[list[Message]]]:
        raise NotImplementedError

    made = Relay(0, publisher, load)
    made.start_at(committed)
    return made


async def test_an_empty_month_is_dropped_and_one_that_is_not_has_everybody_looked_at_again(
    engine: Engine,
) -> None:
    await engine.send(*crowd(4))
    await engine.settled()
    await fold_away(engine)
    month, history = months.month_of(OLD), engine.months
    async with engine.database.connection() as db:
        await db.execute(
            "INSERT INTO history (partition, seq, identity_id, profile_id, version, time,"
            " received_at, untimed, source, message_id, body) SELECT 0, 0, id, id, 1, $1, $1,"
            ' false, \'s\', \'m\', \'{"type":"page","messageId":"m"}\' FROM identity LIMIT 1',
            to_datetime(OLD),
        )

    await housekeeping.drop_months(engine.database, history, KEEPING, LATER)
    async with engine.database.connection() as db:
        assert month in await existing(db)
        assert not await floors.are_done(db, PARTITIONS)
    await fold_away(engine)
    await housekeeping.drop_months(engine.database, history, KEEPING, LATER)

    async with engine.database.connection() as db:
        assert month not in await existing(db)
    assert await kept(engine) == (0, 4)


async def test_an_erased_person_leaves_no_snapshot(engine: Engine) -> None:
    await engine.send(*crowd(2))
    await engine.settled()
    await fold_away(engine)

    await engine.erase("user_id", "u1")

    (row,) = await engine.fetch("SELECT identity_id FROM snapshot")
    assert row["identity_id"] == profile_id("local", "user_id", "u0")


async def test_the_diff_of_a_definition_begins_at_snapshots_too(engine: Engine) -> None:
    other = definitions.load()["awareness-5"]
    question = Question(other.digest, engine.lifecycle.digest, None, 1.0, 1)
    running = Course.of(engine.lifecycle)
    comparison = Comparison(Course.of(other), running, Place(question, LATER))
    again = Comparison(running, running, Place(question, LATER))
    await engine.send(*crowd())
    await engine.settled()
    await fold_away(engine)

    answer = await comparison.run(engine.database, lambda _: None)
    same = await again.run(engine.database, lambda _: None)

    assert (answer.people, answer.touchpoints) == (40, 36)
    assert (same.rewritten, same.moved, same.stage_changes) == (0, [], [])
    stages = {stage for _, (stage, _, _) in (await engine.states()).items()}
    assert {it.stage for it in same.stages if it.now} == stages


async def test_time_travel_says_what_is_not_kept_any_more(engine: Engine) -> None:
    await engine.send(*crowd())
    await engine.settled()
    await fold_away(engine)
    who = profile_id("local", "user_id", "u7")  # three orders in the old month, one after it
    now, before = Sight(), Sight(as_of=to_datetime(SINCE - 1))
    after, early = Sight(as_of=to_datetime(SINCE + DAY)), Sight(recorded=to_datetime(NOW))

    async with engine.database.connection() as db:
        present = await profiles.get(db, "local", who)
        seen = [await profiles.get_at(db, "local", who, it) for it in (before, after, early)]
        timeline = await timelines.timeline(db, "local", who, now, Page(None, 100))
        sent = await touchpoints.newest(db, who, [who], Wanted(), Page(None, 100))

    since = to_datetime(SINCE)
    assert present is not None
    assert (present.touchpoints, present.kept_from) == (5, since)
    told = [(it.stage, it.touchpoints, it.last_seen, it.kept_from) for it in seen if it]
    assert told[0] == ("retention", None, None, since)
    assert told[1] == ("retention", 4, to_datetime(OLD + 3 * DAY), since)
    assert timeline.kept_from == since
    assert [it.kind for it in timeline.entries] == [*3 * ["stage_changed"], "touchpoint"]
    assert (len(sent.touchpoints), sent.kept_from) == (1, to_rfc3339(SINCE))


async def test_the_export_has_the_snapshot(engine: Engine) -> None:
    await engine.send(*crowd())
    await engine.settled()
    await fold_away(engine)
    who = profile_id("local", "user_id", "u7")

    pieces = export(engine.database, "local", who, to_datetime(from_datetime(datetime.now(UTC))))
    document = json.loads(b"".join([it async for it in pieces]))

    (told,) = document["snapshots"]
    assert (told["stage"], told["touchpoints"], told["until"]) == (
        "retention",
        4,
        to_rfc3339(SINCE),
    )
    assert len(document["touchpoints"]) == 1
