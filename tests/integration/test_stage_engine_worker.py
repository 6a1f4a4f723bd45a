"""The engine on a real PostgreSQL: attribution, folding, corrections, deadlines, crashes, races."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clm_common.bus.memory import MemoryBroker
from clm_common.bus.ports import Message
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.journey import IdentityMoved, TouchpointApplied
from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.topics import PARTITIONS, TOUCHPOINTS, TOUCHPOINTS_DLQ, partition_of
from clm_common.instant import DAY, HOUR, SECOND, from_rfc3339
from clm_common.runtime import worker
from clm_stage_engine import giants, handlers
from tests.support.engine import NOW, Engine
from tests.support.servers import DatabaseServer
from tests.support.touchpoints import touchpoint

ORDER = "Order Completed"


def stages(changes: list[StageChange]) -> list[str]:
    return [change.target for change in changes]


async def test_a_visitor_who_signs_up_and_buys_walks_through_the_stages(engine: Engine) -> None:
    await engine.send(
        touchpoint(NOW - 3 * HOUR, anonymous="a", kind="page"),
        touchpoint(NOW - 2 * HOUR, anonymous="a", user="u", kind="identify"),
        touchpoint(NOW - 1 * HOUR, user="u", event=ORDER),
    )

    await engine.settled()

    timeline = engine.timeline("user_id", "u")
    assert stages(timeline) == ["reach", "acquisition", "conversion"]
    assert [from_rfc3339(it.at) for it in timeline] == [NOW - 3 * HOUR, NOW - 2 * HOUR, NOW - HOUR]
    assert timeline[-1].user_id == "u"


async def test_an_anonymous_profile_is_emptied_when_its_visitor_becomes_known(
    engine: Engine,
) -> None:
    await engine.send(touchpoint(NOW - 3 * HOUR, anonymous="a", kind="page"))
    await engine.settled()
    assert stages(engine.timeline("anonymous_id", "a")) == ["reach"]

    await engine.send(touchpoint(NOW - 2 * HOUR, anonymous="a", user="u", kind="identify"))
    await engine.settled()

    assert engine.timeline("anonymous_id", "a") == []
    assert stages(engine.timeline("user_id", "u")) == ["reach", "acquisition"]
    moves = [it for it in engine.facts() if isinstance(it, IdentityMoved)]
    assert len(moves) == 2
    assert all(it.emptied for it in moves)


async def test_an_earlier_link_takes_the_device_away_from_its_later_user(engine: Engine) -> None:
    await engine.send(touchpoint(NOW - 9 * HOUR, anonymous="a", kind="page"))
    await engine.send(touchpoint(NOW - 2 * HOUR, anonymous="a", user="late", kind="identify"))
    await engine.settled()
    assert stages(engine.timeline("user_id", "late")) == ["reach", "acquisition"]

    await engine.send(touchpoint(NOW - 3 * HOUR, anonymous="a", user="early", kind="identify"))
    await engine.settled()

    early = engine.timeline("user_id", "early")
    late = engine.timeline("user_id", "late")
    assert from_rfc3339(early[0].at) == NOW - 9 * HOUR
    assert from_rfc3339(late[0].at) == NOW - 2 * HOUR


async def test_a_late_touchpoint_corrects_the_timeline(engine: Engine) -> None:
    await engine.send(touchpoint(NOW - 2 * HOUR, user="u", event=ORDER))
    await engine.settled()

    await engine.send(touchpoint(NOW - 5 * HOUR, user="u", kind="page"))
    await engine.settled()

    timeline = engine.timeline("user_id", "u")
    assert stages(timeline) == ["reach", "conversion"]
    assert from_rfc3339(timeline[0].at) == NOW - 5 * HOUR
    changes = [it for it in engine.facts() if isinstance(it, StageChange)]
    assert [it.retracted for it in changes].count(True) == 1


async def test_repeats_count_once_whether_timed_or_not(engine: Engine) -> None:
    timed = touchpoint(NOW - HOUR, user="u", event=ORDER, message_id="one")
    untimed = [
        touchpoint(NOW - second * SECOND, user="u", event="Hello", message_id="two", untimed=True)
        for second in (9, 8, 7)
    ]
    await engine.send(timed, timed, untimed[0])
    await engine.settled()
    await engine.send(timed, untimed[1], untimed[2], touchpoint(NOW, user="u", kind="page"))
    await engine.settled()

    applied = [it.message_id for it in engine.facts() if isinstance(it, TouchpointApplied)]
    rows = await engine.fetch("SELECT touchpoints FROM profile")
    assert sorted(applied)[-2:] == ["one", "two"]
    assert len(applied) == 3
    assert rows == [{"touchpoints": 3}]


async def test_a_hundred_and_twenty_silent_days_lapse_at_their_own_instant(engine: Engine) -> None:
    bought = NOW - 119 * DAY
    await engine.send(touchpoint(bought, user="u", event=ORDER))
    await engine.settled()
    assert stages(engine.timeline("user_id", "u"))[-1] == "conversion"

    engine.clock.set(NOW + 3 * DAY)
    await asyncio.sleep(1.2)
    await engine.settled()

    last = engine.timeline("user_id", "u")[-1]
    assert (last.target, last.move, last.cause) == ("acquisition", "lapsed", None)
    assert from_rfc3339(last.at) == bought + 120 * DAY


def _lapsed(engine: Engine) -> int:
    return sum(isinstance(it, StageChange) and it.move == "lapsed" for it in engine.facts())


async def test_more_deadlines_than_a_batch_holds_fire_one_batch_after_the_other(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "DUE", 1)
    names = [f"u{number}" for number in range(60)]
    together = [it for it in names if partition_of(f"local:{it}".encode(), PARTITIONS) == 0]
    await engine.send(*[touchpoint(NOW - DAY, user=it, event=ORDER) for it in together])
    await engine.settled()

    engine.clock.set(NOW + 121 * DAY)
    while not _lapsed(engine):  # noqa: ASYNC110 - the engine tells nobody
        await asyncio.sleep(0.01)
    monkeypatch.setattr(worker, "WAKE", 3600.0)
    await engine.settled()

    lapsed = [stages(engine.timeline("user_id", it))[-1] for it in together]
    assert len(together) > 2
    assert lapsed == ["acquisition"] * len(together)


async def test_what_is_no_touchpoint_is_buried_with_its_reason_and_the_partition_goes_on(
    engine: Engine,
) -> None:
    broken = Message(TOUCHPOINTS.name, b"local:u", b"\xff{", ())
    nul = touchpoint(NOW - HOUR, user="bad\0id", event=ORDER)
    await engine.send(broken, nul, touchpoint(NOW - HOUR, user="u", event=ORDER))

    await engine.settled()

    letters = [
        msgspec.json.decode(it.value or b"", type=DeadLetter)
        for it in engine.broker.records(TOUCHPOINTS_DLQ.name)
    ]
    assert sorted(it.reason for it in letters) == [
        "touchpoint.id_invalid",
        "touchpoint.invalid",
    ]
    assert b"\xff{" in {it.original for it in letters}
    assert stages(engine.timeline("user_id", "u")) == ["reach", "conversion"]


async def test_a_crash_between_commit_and_publication_loses_and_doubles_nothing(
    engine_url: str,
) -> None:
    broker = MemoryBroker()
    messages = [
        touchpoint(NOW - n * SECOND, user=f"u{n % 7}", event=ORDER) for n in range(200, 0, -1)
    ]
    first = Engine(engine_url, broker, owner="first")
    async with first:
        await first.send(*messages[:100])
        await first.settled()
        broker.commit_fault = "lost"
        await first.send(*messages[100:])
        await first.folded(200)
        await first.crash()

    async with Engine(engine_url, broker, owner="second") as second:
        await second.settled()

        facts = [it for it in second.facts() if isinstance(it, TouchpointApplied)]
    assert len(facts) == len({it.message_id for it in facts}) == 200


def _of_day(who: tuple[str | None, str | None], what: tuple[str, str | None], day: int) -> Message:
    user, anonymous = who
    at = NOW + (day - 300) * DAY
    return touchpoint(at, user=user, anonymous=anonymous, kind=what[0], event=what[1])


def history() -> st.SearchStrategy[list[Message]]:
    """One person's touchpoints over two devices, two users sharing one of them."""
    who = st.sampled_from(
        [(None, "a"), (None, "b"), ("u", None), ("w", None), ("u", "a"), ("w", "a"), ("u", "b")]
    )
    what = st.sampled_from([("page", None), ("identify", None), ("track", ORDER)])
    one = st.builds(_of_day, who, what, st.integers(0, 300))
    return st.lists(one, min_size=1, max_size=12, unique_by=lambda it: (it.key, it.value))


@given(messages=history(), seed=st.integers(0, 2**16), aside=st.booleans())
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_any_order_batching_and_repetition_gives_one_timeline(
    database_server: DatabaseServer,
    engine_template: str,
    messages: list[Message],
    seed: int,
    *,
    aside: bool,
) -> None:
    """Also where whoever has one touchpoint is a giant, and folded beside the batches."""
    chance = random.Random(seed)
    shuffled = chance.sample(messages, len(messages)) + chance.sample(messages, len(messages) // 2)

    async with database_server.lend(engine_template) as url:
        in_order = await _outcome(url, sorted(messages, key=lambda it: it.headers[5]), 1)
    async with database_server.lend(engine_template) as url:
        with pytest.MonkeyPatch.context() as patch:
            if aside:
                patch.setattr(giants, "HUGE", 1)
            out_of_order = await _outcome(url, shuffled, chance.randint(1, 5))

    assert out_of_order == in_order


async def _outcome(url: str, messages: list[Message], pieces: int) -> object:
    async with Engine(url, MemoryBroker()) as engine:
        for piece in range(pieces):
            await engine.send(*messages[piece::pieces])
            await engine.settled()
        engine.clock.set(NOW + 500 * DAY)
        await asyncio.sleep(0.6)
        await engine.settled()
        states = await engine.states()
        timelines = {
            (kind, name): [
                (it.at, it.source, it.target, it.cause) for it in engine.timeline(kind, name)
            ]
            for kind, name in [
                ("user_id", "u"),
                ("user_id", "w"),
                ("anonymous_id", "a"),
                ("anonymous_id", "b"),
            ]
        }
        return states, timelines
