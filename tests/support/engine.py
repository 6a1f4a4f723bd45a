"""The stage-engine's worker on a real database and a bus of the test's choice, without HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Self
from uuid import UUID, uuid4

from clm_common.bus.memory import MemoryBroker, MemoryProducer, MemoryPublisher, MemoryReader
from clm_common.bus.ports import Message, Publisher
from clm_common.clock import ManualClock
from clm_common.contracts import journey
from clm_common.contracts.ids import profile_id
from clm_common.contracts.journey import JourneyMessage
from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.topics import JOURNEY, TOUCHPOINTS
from clm_common.instant import DAY, to_datetime
from clm_common.runtime.relay import Relay
from clm_common.runtime.worker import Worker
from clm_common.store.database import Database
from clm_common.store.offsets import Claim, Leases
from clm_stage_engine import definitions, identity_file, store
from clm_stage_engine.batch import write_together
from clm_stage_engine.channel_file import shipped
from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.eras import Course
from clm_stage_engine.core.identifiers import Identifiers
from clm_stage_engine.core.keeping import Keeping
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.erased import Erased
from clm_stage_engine.governing import Board
from clm_stage_engine.handlers import KEEP_ALL, TouchpointHandler
from clm_stage_engine.outbox import Facts
from clm_stage_engine.queries import erasures
from clm_stage_engine.running import Running, choose
from clm_stage_engine.store.months import Months

NOW = 20_400 * DAY
"""The instant at which every engine's clock stands first."""

RUNNING = choose([definitions.SHIPPED], "reach")
"""What decides unless a test says otherwise."""

REACH = RUNNING.lifecycle

SETTLING = """
SELECT partition, next_offset, next_seq, EXISTS (SELECT FROM profile WHERE wake_at <= $1) AS due
FROM consumer_partition
"""
"""One look: between two, a batch may fire what is due and leave its facts uncounted."""


class Engine:
    """One worker, and what a test asks it and its surroundings."""

    def __init__(  # noqa: PLR0913 - one builder for all that a test may want
        self,
        url: str,
        broker: MemoryBroker,
        *,
        owner: str = "engine-1",
        lifecycle: Lifecycle | Board = REACH,
        channels: Channels | None = None,
        clock: ManualClock | None = None,
        keeping: Keeping = KEEP_ALL,
        identifiers: Identifiers | None = None,
    ) -> None:
        self.broker = broker
        self.clock = clock or ManualClock(NOW)
        self.database = Database(url, schema=store.SCHEMA, name=owner)
        self.producer = MemoryProducer(broker)
        self.months = Months(self.database, self.clock)
        board = (
            lifecycle
            if isinstance(lifecycle, Board)
            else Board(Running(Course.of(lifecycle), RUNNING.view))
        )
        self.board = board
        self.lifecycle = board.rules.default.lifecycle
        self.channels = channels or shipped()
        self.erased = Erased()
        self.keeping = keeping
        self.identifiers = identifiers or identity_file.shipped()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.worker = Worker(
            topic=TOUCHPOINTS.name,
            reader=MemoryReader(broker),
            producer=MemoryProducer(broker),
            database=self.database,
            leases=Leases(
                self.database,
                topic=TOUCHPOINTS.name,
                partitions=TOUCHPOINTS.partitions,
                owner=owner,
                lease=4.0,
            ),
            open_handler=self._open,
            clock=self.clock,
            together=write_together,
        )

    async def _open(self, claim: Claim) -> TouchpointHandler:
        async def publisher() -> Publisher:
            return MemoryPublisher(
                self.broker, service="clm-stage-engine", partition=claim.partition
            )

        facts = Facts(self.database, TOUCHPOINTS.name, claim.partition)
        return TouchpointHandler(
            claim,
            database=self.database,
            board=self.board,
            channels=self.channels,
            identifiers=self.identifiers,
            partitions=TOUCHPOINTS.partitions,
            relay=Relay(claim.partition, publisher, facts),
            clock=self.clock,
            months=self.months,
            cached_profiles=10_000,
            erased=self.erased,
            keeping=self.keeping,
        )

    async def __aenter__(self) -> Self:
        await self.database.__aenter__()
        self._task = asyncio.create_task(self.worker.run(self._stop))
        return self

    async def __aexit__(self, *exit_: object) -> None:
        self._stop.set()
        if self._task is not None:
            await self._task
        await self.database.__aexit__(None, None, None)

    async def crash(self) -> None:
        """Die without a word: nothing is drained, no lease is given back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def send(self, *messages: Message) -> None:
        """Publish touchpoints."""
        await MemoryProducer(self.broker).publish(messages)

    async def settled(self, within: float = 30.0) -> None:
        """Wait until everything sent is folded, everything due fired, everything published."""
        async with asyncio.timeout(within):
            while not await self._is_settled():
                if self._task is not None and self._task.done():
                    self._task.result()
                await asyncio.sleep(0.02)

    async def folded(self, count: int, within: float = 30.0) -> None:
        """Wait until so many touchpoints are committed, published or not."""
        async with asyncio.timeout(within):
            while (await self.fetch("SELECT count(*) AS n FROM history"))[0]["n"] != count:  # noqa: ASYNC110 - another process's doing
                await asyncio.sleep(0.01)

    async def _is_settled(self) -> bool:
        ends = await MemoryReader(self.broker).end_offsets(TOUCHPOINTS.name)
        rows = await self.fetch(SETTLING, to_datetime(self.clock.now()))
        if {row["partition"]: row["next_offset"] for row in rows} != ends:
            return False
        if any(row["due"] for row in rows):
            return False
        facts = sum(row["next_seq"] - 1 for row in rows)
        return bool(len(self.facts()) == facts)

    async def fetch(self, statement: str, *values: object) -> list[dict[str, Any]]:  # Any: columns
        """Ask the database."""
        async with self.database.connection() as db:
            return [dict(row) for row in await db.fetch(statement, *values)]

    async def ask_to_erase(self, kind: str, value: str, workspace: str = "local") -> UUID:
        """Ask for the erasure of somebody; gives the receipt's id."""
        async with self.database.connection() as db:
            asked = await erasures.ask(
                db,
                name=uuid4(),
                workspace=workspace,
                profile=profile_id(workspace, kind, value),
                reason="asked to be forgotten",
                author="test",
                now=to_datetime(self.clock.now()),
            )
        assert asked is not None
        return asked.id

    async def erase(self, kind: str, value: str, within: float = 30.0) -> UUID:
        """Have somebody erased; gives the receipt's id."""
        found = await self.ask_to_erase(kind, value)
        await self.erased_all(within)
        return found

    async def erased_all(self, within: float = 30.0) -> None:
        """Wait until everybody who is to be erased is, and everything else settled."""
        async with asyncio.timeout(within):
            while await self.fetch("SELECT FROM erasure WHERE done_at IS NULL"):  # noqa: ASYNC110 - another task's doing
                await asyncio.sleep(0.02)
        await self.settled()

    def facts(self) -> list[JourneyMessage]:
        """Give what stands on the river."""
        return [journey.decode(it.value or b"") for it in self.broker.records(JOURNEY.name)]

    def timeline(self, kind: str, value: str, workspace: str = "local") -> list[StageChange]:
        """Give a profile's timeline as a subscriber knows it: by id, the highest version."""
        return timeline_of(self.facts(), profile_id(workspace, kind, value))

    async def states(self) -> dict[UUID, tuple[object, ...]]:
        """Give every profile's state as it is stored."""
        rows = await self.fetch("SELECT id, stage, touchpoints, state FROM profile")
        return {
            UUID(str(row["id"])): (row["stage"], row["touchpoints"], row["state"])
            for row in rows
            if row["stage"] is not None
        }


def timeline_of(facts: Iterable[JourneyMessage], profile: UUID) -> list[StageChange]:
    """Reduce a river to one profile's standing stage changes, oldest first."""
    newest: dict[UUID, StageChange] = {}
    for fact in facts:
        if isinstance(fact, StageChange) and fact.profile_id == profile:
            known = newest.get(fact.id)
            if known is None or fact.version > known.version:
                newest[fact.id] = fact
    return sorted((it for it in newest.values() if not it.retracted), key=_place)


def _place(change: StageChange) -> tuple[str, bool, bool, str]:
    """The order that the contract gives: see `StageChange`."""
    return change.at, change.source is not None, change.cause is not None, change.cause or ""
