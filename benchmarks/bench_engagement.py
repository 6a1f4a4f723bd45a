"""How fast engagement takes the river in, and how fast it sends, on a real PostgreSQL.

The river: batches of 3,000 records, one in forty an identify call and one in forty a stage change,
decided and written in one transaction as the worker does it. Sending: everything on (gate, three
Liquid templates, MIME, SMTP over kept connections, the result written), to a light mail server in a
process of its own. Per second, and per CPU-second of this process; PostgreSQL has its own.
Run: `python -m benchmarks.bench_engagement [MESSAGES]`.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import cast

import msgspec
import uvloop
from pydantic import SecretStr

from benchmarks.support import servers
from clm_common import telemetry
from clm_common.bus.memory import MemoryRecord
from clm_common.clock import SystemClock
from clm_common.contracts.ids import USER_ID, change_id, profile_id
from clm_common.contracts.journey import JourneyMessage, TouchpointApplied
from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.topics import JOURNEY
from clm_common.instant import DAY, to_rfc3339
from clm_common.store.database import Database
from clm_common.store.migrations import migrate
from clm_engagement.channels import discover
from clm_engagement.core.keyed import Keyed
from clm_engagement.definitions import FOLDER, load_definitions
from clm_engagement.delivery import Delivery
from clm_engagement.handlers import JourneyHandler, Plans
from clm_engagement.letters import Terms
from clm_engagement.settings import Settings
from clm_engagement.store import SCHEMA

SHARE = 40
BATCH = 3_000
PORT_WAIT = 60


def river(people: int) -> list[bytes]:
    """Make the facts of so many people: 38 page views, an identify call, a stage change each."""
    at = to_rfc3339(SystemClock().now())
    page = msgspec.Raw(
        b'{"type":"page","messageId":"m","userId":"u","name":"Home","context":{"page":'
        b'{"url":"https://shop.example.com/mug"},"campaign":{"source":"newsletter"}}}'
    )
    found: list[JourneyMessage] = []
    for number in range(people):
        name = f"user-{number}"
        who = profile_id("bench", USER_ID, name)
        call = {
            "type": "identify",
            "userId": name,
            "traits": {"email": f"{name}@example.com", "firstName": "Zoë", "plan": "gold"},
        }
        raw = msgspec.Raw(msgspec.json.encode(call))
        found += [
            TouchpointApplied("bench", who, 1, at, "web", f"p-{number}-{turn}", page)
            for turn in range(SHARE - 2)
        ]
        found.append(TouchpointApplied("bench", who, 1, at, "web", f"i-{number}", raw))
        found.append(
            StageChange(
                id=change_id(who, "reach", 0, "reach", "acquisition", "m"),
                workspace="bench",
                profile_id=who,
                version=2,
                lifecycle="reach",
                definition="d",
                target="acquisition",
                move="m",
                at=at,
                source="reach",
                user_id=name,
            )
        )
    return [msgspec.json.encode(each) for each in found]


class _Sink(asyncio.Protocol):
    """As little of an SMTP server as a client needs."""

    def __init__(self) -> None:
        self._data = False
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while True:
            end = b"\r\n.\r\n" if self._data else b"\r\n"
            command, found, rest = self._rest.partition(end)
            if not found:
                return
            self._rest = rest
            verb = command[:4].upper()
            starts = not self._data and verb == b"DATA"
            self._data = starts
            self._transport.write(b"354 go\r\n" if starts else b"250 OK\r\n")


def _serve(port: multiprocessing.Queue[int], stop: Event) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(_Sink, "127.0.0.1", 0)
        port.put(server.sockets[0].getsockname()[1])
        await asyncio.to_thread(stop.wait)
        server.close()

    uvloop.run(main())


async def take_in(database: Database, plans: Plans, values: list[bytes]) -> None:
    """Take the river in, batch by batch, and say how fast."""
    handler = JourneyHandler(plans)
    records = [
        MemoryRecord(JOURNEY.name, 0, number, 0, b"k", value, ())
        for number, value in enumerate(values)
    ]
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(records), BATCH):
        async with database.transaction() as tx:
            batch = await handler.decide(tx, records[start : start + BATCH])
            await batch.write(tx, 0)
    _say("river records taken in", len(records), wall, cpu)


async def send(database: Database, delivery: Delivery, people: int) -> None:
    """Send what was planned, and say how fast."""
    stop = asyncio.Event()
    wall, cpu = time.perf_counter(), time.process_time()
    running = asyncio.create_task(delivery.run(stop))
    left = people
    async with database.connection() as db:
        while left:
            await asyncio.sleep(0.1)
            left = await db.fetchval("SELECT count(*) FROM message WHERE state <> 'sent'")
    _say("mails sent", people, wall, cpu)
    stop.set()
    await running


def _say(what: str, count: int, wall: float, cpu: float) -> None:
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(f"{what}: {count} in {wall:.1f} s: {count / wall:,.0f}/s, {count / cpu:,.0f} per CPU-s")


async def main(people: int, smtp_port: int) -> None:
    """Measure."""
    telemetry.configure("bench", level="error")
    settings = Settings.model_validate(
        {
            "database_url": SecretStr("postgresql://unused@127.0.0.1/unused"),
            "kafka_bootstrap": "127.0.0.1:1",
            "smtp_url": SecretStr(f"smtp://127.0.0.1:{smtp_port}?starttls=never"),
            "mail_connections": 8,
        }
    )
    definitions = load_definitions(Path(FOLDER), discover(), "reach")
    terms = Terms(
        sender=settings.sender,
        public_url=settings.public_url,
        signing_key=b"k" * 32,
        window=2 * DAY,
        lease=60,
        at_once=settings.mail_connections,
        keyed=Keyed(),
    )
    clock = SystemClock()
    async with servers() as running:
        url = await running.database()
        await migrate(url, package="clm_engagement", schema=SCHEMA)
        async with (
            Database(url, schema=SCHEMA) as database,
            discover()["email"].open(settings) as sender,
        ):
            plans = Plans(definitions.journeys, clock=clock, window=2 * DAY)
            await take_in(database, plans, river(people))
            delivery = Delivery(
                database,
                definitions,
                channels=discover(),
                senders={"email": sender},
                terms=terms,
                clock=clock,
            )
            await send(database, delivery, people)


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    ports: multiprocessing.Queue[int] = context.Queue()
    ended = context.Event()
    sink = context.Process(target=_serve, args=(ports, ended))
    sink.start()
    try:
        uvloop.run(main(int(sys.argv[1]) if sys.argv[1:] else 3_000, ports.get(timeout=PORT_WAIT)))
    finally:
        ended.set()
        sink.join()
