"""Metrics behind the real stage-engine: what it counts equals what the engine's profiles say."""

from __future__ import annotations

import random
from collections import Counter

from clm_common.bus.memory import MemoryBroker
from clm_common.bus.ports import Message
from clm_common.contracts.journey import IdentityMoved
from clm_common.contracts.stage_change import StageChange
from clm_common.instant import DAY, HOUR
from tests.support.engine import NOW, Engine
from tests.support.measuring import Metrics, figures, summed, totals
from tests.support.river import Recount
from tests.support.touchpoints import alias, touchpoint

_STAGES = "SELECT stage, count(*) AS people FROM profile WHERE stage IS NOT NULL GROUP BY stage"


def history(chance: random.Random) -> list[Message]:
    """Let devices be seen, become known, be shared by two customers, and buy; often at one time."""
    found: list[Message] = []
    for number in range(40):
        device, customer = f"d{number}", f"u{chance.randrange(30)}"
        at = NOW - chance.randrange(1, 300) * DAY
        found.append(touchpoint(at, anonymous=device, kind="page"))
        if chance.random() < 0.7:
            linked = at + chance.choice((0, HOUR, DAY))
            found.append(touchpoint(linked, anonymous=device, user=customer, kind="identify"))
        for _ in range(chance.randrange(4)):
            bought = at + chance.choice((0, HOUR, 5 * DAY, 150 * DAY))
            found.append(touchpoint(min(bought, NOW), user=customer, event="Order Completed"))
    merged = [alias(NOW - DAY, user=f"u{it}", previous=f"u{it + 1}") for it in range(0, 12, 2)]
    return [*found, *merged]


async def test_people_per_stage_are_those_of_the_engine_after_merges_flips_and_late_events(
    engine_url: str,
    metrics_url: str,
) -> None:
    chance = random.Random(11)
    touches = history(chance)
    chance.shuffle(touches)
    broker = MemoryBroker()

    async with Engine(engine_url, broker) as engine, Metrics(metrics_url, broker) as metrics:
        for start in range(0, len(touches), 25):
            await engine.send(*touches[start : start + 25])
            await engine.settled()
        await metrics.settled()
        profiles = {row["stage"]: row["people"] for row in await engine.fetch(_STAGES)}
        counted = await totals(metrics.database)
        per_day = await figures(metrics.database)
        facts = engine.facts()

    people = {key[3]: value for key, value in counted.items() if key[2] == "present"}
    recount = Recount((it for it in facts if isinstance(it, StageChange)), workspace="local")
    moves = [it for it in facts if isinstance(it, IdentityMoved)]
    assert any(it.emptied for it in moves)
    assert any(it.retracted for it in facts if isinstance(it, StageChange))
    assert people == profiles == dict(recount.people())
    assert counted == summed(per_day)
    assert Counter({key[3]: value for key, value in counted.items() if key[2] == "reached"}) == (
        recount.reached()
    )
