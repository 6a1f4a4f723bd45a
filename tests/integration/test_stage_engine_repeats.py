"""What counts as a repeat: the same source, message id and time, whoever arrives in which order."""

from __future__ import annotations

from itertools import permutations

import pytest

from clm_common.bus.memory import MemoryBroker
from clm_common.contracts.journey import TouchpointApplied
from clm_common.instant import HOUR
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import touchpoint

FIRST, SECOND, THIRD = (
    touchpoint(NOW - hours * HOUR, user="u", event="Order Completed", message_id=name)
    for hours, name in ((5, "one"), (3, "one"), (4, "two"))
)


@pytest.mark.parametrize("arrival", [*permutations((0, 1, 2))], ids=str)
async def test_one_message_id_at_two_instants_is_two_touchpoints_in_any_order_of_arrival(
    engine_url: str, arrival: tuple[int, ...]
) -> None:
    async with Engine(engine_url, MemoryBroker()) as engine:
        for place in (*arrival, *arrival):
            await engine.send((FIRST, SECOND, THIRD)[place])
            await engine.settled()

        applied = [it.time for it in engine.facts() if isinstance(it, TouchpointApplied)]
        rows = await engine.fetch("SELECT touchpoints, stage FROM profile")

    assert len(applied) == len(set(applied)) == 3
    assert rows == [{"touchpoints": 3, "stage": "retention"}]


async def test_one_message_id_of_two_users_counts_for_each_of_them(engine_url: str) -> None:
    async with Engine(engine_url, MemoryBroker()) as engine:
        await engine.send(
            *(touchpoint(NOW, user=who, kind="page", message_id="one") for who in ("ada", "bob"))
        )
        await engine.settled()

        rows = await engine.fetch("SELECT user_id, touchpoints FROM profile ORDER BY user_id")

    assert rows == [
        {"user_id": "ada", "touchpoints": 1},
        {"user_id": "bob", "touchpoints": 1},
    ]
