"""What the stage-engine is measured against: the same state machine on Quix Streams and FastStream.

    python benchmarks/rivals_of_engine.py quix|textbook DIRECTORY

Started by `bench_engine_rivals` in an environment of its own, which has nothing of ours; works
until it is killed, and prints every so often how many touchpoints it has behind it.
`quix` keeps each customer's state in RocksDB with a changelog topic, at least once, and keeps no
history. `textbook` does what a tutorial shows: a PostgreSQL transaction for each message.
Environment: CLM_KAFKA_BOOTSTRAP; for the textbook DATABASE_URL of an empty database.
"""
# mypy: ignore-errors
# pyright: basic, reportMissingImports=false
# (the checkers run where the rivals are not installed)

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any, Final

TOUCHPOINTS: Final = "clm.touchpoints"
CHANGES: Final = "rival.stage-changes"
EVERY: Final = 100
"""Touchpoints between two lines."""


def advance(customer: dict[str, Any], touch: dict[str, Any]) -> list[str]:
    """Fold one touchpoint into a customer, as `reach` does within one day; give stages entered."""
    entered = [] if customer else ["reach"]
    before = stage = customer.setdefault("stage", "reach")
    if touch["type"] == "track" and touch["event"] == "Order Completed":
        customer["orders"] = customer.get("orders", 0) + 1
        customer["spent"] = customer.get("spent", 0) + touch["properties"].get("revenue", 0)
        stage = _bought(stage, customer)
    elif touch["type"] == "identify" and stage == "reach":
        stage = "acquisition"
    customer["stage"] = stage
    return entered if stage == before else [*entered, stage]


def _bought(stage: str, customer: dict[str, Any]) -> str:
    if stage in {"reach", "acquisition"}:
        return "conversion"
    if stage == "conversion" and customer["orders"] >= 2:
        return "retention"
    if stage == "retention" and customer["orders"] >= 3 and customer["spent"] >= 500:
        return "loyalty"
    return stage


class Progress:
    """Counts, and says so."""

    def __init__(self) -> None:
        self._done = 0

    def one(self) -> None:
        """Count one."""
        self._done += 1
        if self._done % EVERY == 0:
            sys.stdout.write(f"{self._done}\n")
            sys.stdout.flush()


def quix(bootstrap: str, directory: str) -> None:
    """Keep the state where Quix Streams does."""
    from quixstreams import Application

    progress = Progress()
    app = Application(
        broker_address=bootstrap,
        consumer_group=f"quix-{time.time_ns()}",
        auto_offset_reset="earliest",
        state_dir=directory,
        loglevel="WARNING",
    )

    def step(touch: dict[str, Any], state: Any) -> list[dict[str, Any]]:
        customer = state.get("customer", None) or {}
        entered = advance(customer, touch)
        state.set("customer", customer)
        progress.one()
        return [{"target": stage, "cause": touch["messageId"]} for stage in entered]

    frame = app.dataframe(app.topic(TOUCHPOINTS, value_deserializer="json"))
    changes = frame.apply(step, stateful=True, expand=True)
    changes.to_topic(app.topic(CHANGES, value_serializer="json"))
    app.run()


async def textbook(bootstrap: str) -> None:
    """Open a transaction for each message."""
    import asyncpg
    from faststream import Context, FastStream
    from faststream.kafka import KafkaBroker

    progress, broker = Progress(), KafkaBroker(bootstrap, logger=None)
    pool = await asyncpg.create_pool(os.environ["DATABASE_URL"])
    await pool.execute("CREATE TABLE customer (id text PRIMARY KEY, state jsonb NOT NULL)")
    await pool.execute("CREATE TABLE history (id text PRIMARY KEY, customer text, body jsonb)")
    await pool.execute("CREATE TABLE change (id text PRIMARY KEY, customer text, target text)")

    record = Context("message")

    @broker.subscriber(
        TOUCHPOINTS, group_id=f"textbook-{time.time_ns()}", auto_offset_reset="earliest"
    )
    async def handle(touch: dict[str, Any], message: Any = record) -> None:
        who = message.raw_message.key.decode()
        for stage in await transact(touch, who, message.body):
            await broker.publish({"target": stage, "cause": touch["messageId"]}, CHANGES)
        progress.one()

    async def transact(touch: dict[str, Any], who: str, body: bytes) -> list[str]:
        import json

        async with pool.acquire() as db, db.transaction():
            new = "INSERT INTO history VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING id"
            if await db.fetchval(new, touch["messageId"], who, body.decode()) is None:
                return []
            known = "SELECT state FROM customer WHERE id = $1 FOR UPDATE"
            customer = json.loads(await db.fetchval(known, who) or "{}")
            entered = advance(customer, touch)
            await db.execute(
                "INSERT INTO customer VALUES ($1, $2) "
                "ON CONFLICT (id) DO UPDATE SET state = excluded.state",
                who,
                json.dumps(customer),
            )
            for stage in entered:
                add = "INSERT INTO change VALUES ($1, $2, $3)"
                await db.execute(add, f"{touch['messageId']} {stage}", who, stage)
            return entered

    await FastStream(broker).run()


if __name__ == "__main__":
    kind, where = sys.argv[1:]
    kafka = os.environ["CLM_KAFKA_BOOTSTRAP"]
    if kind == "quix":
        quix(kafka, where)
    else:
        asyncio.run(textbook(kafka))
