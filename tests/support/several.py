"""An engine in which lifecycles run beside the main one, and what each should say of everybody."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

from clm_common.bus.memory import MemoryBroker
from clm_common.contracts.journey import ProfileErased
from clm_common.contracts.stage_change import StageChange
from clm_common.instant import SECOND, from_rfc3339
from clm_common.store.database import Database
from clm_stage_engine import definitions
from clm_stage_engine.app import make_board
from clm_stage_engine.channel_file import shipped
from clm_stage_engine.core.crossing import follow
from clm_stage_engine.core.eras import Course
from clm_stage_engine.core.fold import order, pack, unpack
from clm_stage_engine.profiles import GRACE
from clm_stage_engine.queries import people
from clm_stage_engine.queries.people import Among
from clm_stage_engine.rebuilding import Place, Rebuilding
from clm_stage_engine.running import known
from clm_stage_engine.store import mending, runs
from clm_stage_engine.store.runs import Action, Run
from tests.support.engine import Engine

SHOP = """
key: shop
start: seen
stages: [{key: seen}, {key: buyer}, {key: retention}, {key: gone}]
moves:
  - {from: seen, to: buyer, when: {event: Order Completed}}
  - {from: buyer, to: retention, when: {event: Order Completed, nth: 3}}
  - {from: [buyer, retention], to: gone, name: lapsed, when: {silent: 30d, of: Order Completed}}
"""
"""A lifecycle to run beside `reach`; a stage of it is called like one of those."""


class Several:
    """An engine whose main lifecycle is `reach`."""

    def __init__(self, url: str, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "shop.yaml").write_text(SHOP)
        self.database = Database(url, schema="stage_engine", name="several", seconds=people.SECONDS)
        self.broker = MemoryBroker()
        every = known([definitions.SHIPPED, folder])
        self.board = make_board(self.database, every["reach"], shipped(), every)
        self.engine = Engine(url, self.broker, lifecycle=self.board)

    async def act(self, action: Action, key: str = "shop", workspace: str = "local") -> Run:
        """Start or stop a lifecycle in a workspace."""
        async with self.database.transaction() as tx:
            done = await runs.act(tx, workspace, key, action, ("ada", ""))
        await self.board.refresh()
        return done

    async def configure(self, *keys: str) -> None:
        """Start with settings that name these beside the main one."""
        async with self.database.transaction() as tx:
            await runs.configure(tx, keys)
        await self.board.refresh()

    async def swept(self, number: int | None = None) -> None:
        """Wait until everybody is folded again after an act, by default after all of them."""
        ask = (
            "SELECT count(*) AS n FROM lifecycle_sweep"
            " WHERE publication = $1 AND done_at IS NOT NULL"
        )
        wanted = [it.number for it in self.board.rules.sweeps] if number is None else [number]
        async with asyncio.timeout(60):
            for each in wanted:
                while (await self.engine.fetch(ask, each))[0]["n"] != 6:  # noqa: ASYNC110 - the engine's doing
                    await asyncio.sleep(0.05)
        await self.settled()

    async def settled(self) -> None:
        """Wait until everything is folded, and fired what was overdue when it was folded."""
        await self.engine.settled()
        self.engine.clock.set(self.engine.clock.now() + GRACE + SECOND)
        await self.engine.settled()

    def standing(self, profile: UUID) -> list[StageChange]:
        """Give somebody's stage changes that stand, as a subscriber of the river has them."""
        newest: dict[UUID, StageChange] = {}
        facts = [it for it in self.engine.facts() if it.profile_id == profile]
        erased = max((it.version for it in facts if isinstance(it, ProfileErased)), default=0)
        for it in facts:
            if isinstance(it, StageChange) and it.version > erased:
                known = newest.get(it.id)
                newest[it.id] = it if known is None or known.version < it.version else known
        return [it for it in newest.values() if not it.retracted]

    async def agrees(self, *beside: str, workspace: str = "local") -> int:
        """See that rows and river say of everybody what folding their history by each says.

        Gives how many stage changes beside the main lifecycle are historical.
        """
        rules, count, past = self.board.rules, 0, 0
        asked = "SELECT * FROM profile_standing WHERE profile_id = $1 ORDER BY lifecycle"
        now = self.engine.clock.now()
        async for person in people.people(self.database, Among(workspace)):
            who = UUID(bytes=person.id.bytes)
            others = rules.others(workspace, who) or ()
            rows = await self.engine.fetch(asked, who)
            told = self.standing(who)
            assert [it.key for it in others] == [it["lifecycle"] for it in rows] == [*beside]
            assert {it.lifecycle for it in told} == {"reach", *beside}
            courses: list[tuple[str, Course, int]] = [
                ("reach", rules.course(workspace, who), 0),
                *((it.key, it.course, it.began) for it in others),
            ]
            states = {it["lifecycle"]: it["state"] for it in rows}
            own = await self.engine.fetch("SELECT state FROM profile WHERE id = $1", who)
            states["reach"] = own[0]["state"]
            for key, course, began in courses:
                truth = follow(course, order(person.touches), now)
                assert truth.state is not None
                assert unpack(states[key]).stage == truth.state.stage
                if truth.state.due is None:
                    assert pack(truth.state) == states[key]
                mine = sorted(
                    (from_rfc3339(it.at), it.source or "", it.target, it.historical)
                    for it in told
                    if it.lifecycle == key
                )
                late = began if key != "reach" else -(1 << 62)
                assert mine == sorted(
                    (it.at, it.source or "", it.target, it.at < late) for it in truth.timeline
                )
                past += sum(one[3] for one in mine)
            count += 1
        assert count
        return past

    async def replayed(self) -> Place:
        """Compare everybody with their history."""
        place = Place(mending.Among(), swap=False)
        engine = self.engine
        run = Rebuilding(engine.database, self.board.rules, engine.channels, engine.clock, place)
        await run.run(lambda _: None, examples=10)
        return place
