"""Two partitions that meet in one profile at once: the loser of the race decides again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from clm_common.bus.memory import MemoryBroker
from clm_common.bus.ports import Record
from clm_common.instant import HOUR
from clm_common.runtime.handler import Connection
from clm_stage_engine.batch import Decided
from clm_stage_engine.handlers import TouchpointHandler
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import alias, touchpoint

ORDER = "Order Completed"


async def test_an_order_committed_while_its_customer_is_merged_is_in_the_merged_history(
    engine_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    merging, ordered, merges = asyncio.Event(), asyncio.Event(), list[Decided]()
    decide, committed = TouchpointHandler.decide, Decided.committed

    async def hold(self: TouchpointHandler, tx: Connection, records: Sequence[Record]) -> Decided:
        decided = await decide(self, tx, records)
        if decided.decisions:
            merges.append(decided)
            merging.set()
            await asyncio.wait_for(ordered.wait(), 30)
        elif decided.journal.history:
            await asyncio.wait_for(merging.wait(), 30)
        return decided

    def tell(self: Decided) -> None:
        committed(self)
        if self.journal.history and not self.decisions:
            ordered.set()

    async with Engine(engine_url, MemoryBroker()) as engine:
        await engine.send(touchpoint(NOW - 9 * HOUR, user="old", event=ORDER))
        await engine.settled()
        monkeypatch.setattr(TouchpointHandler, "decide", hold)
        monkeypatch.setattr(Decided, "committed", tell)

        await engine.send(
            alias(NOW - 5 * HOUR, user="new", previous="old"),
            touchpoint(NOW - HOUR, user="old", event=ORDER),
        )
        await engine.settled()

        assert len(merges) > 1  # the first one was decided upon what was outdated when it wrote
        assert [it.target for it in engine.timeline("user_id", "old")] == []
        stages = [it.target for it in engine.timeline("user_id", "new")]
        assert stages == ["reach", "conversion", "retention"]
