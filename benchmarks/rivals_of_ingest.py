"""What ingest is measured against: a raw ASGI answer, and the textbook FastAPI service.

    python -m benchmarks.rivals_of_ingest raw|textbook

Started by `bench_ingest`; prints its port, serves until it is killed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import uvloop
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from clm_common.runtime.listener import listen

_TOPIC: Final = "clm.touchpoints"


async def raw(_scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body to its end and answer 204: what any ASGI app costs at least."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


class Event(BaseModel):
    """An event as a textbook writes it down."""

    type: str
    messageId: str  # noqa: N815 - as it is sent
    userId: str | None = None  # noqa: N815 - as it is sent
    anonymousId: str | None = None  # noqa: N815 - as it is sent
    event: str | None = None
    properties: dict[str, Any] | None = None  # Any: the sender's own JSON
    context: dict[str, Any] | None = None  # Any: the sender's own JSON
    timestamp: str | None = None


class Batch(BaseModel):
    """Events sent together."""

    batch: list[Event]


@asynccontextmanager
async def textbook(bootstrap: str) -> AsyncGenerator[FastAPI]:
    """Validate with pydantic and publish each event by `send_and_wait`; no key, no verdicts."""
    app = FastAPI()
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, compression_type="snappy"
    ) as producer:

        async def publish(event: Event) -> None:
            key = (event.userId or event.anonymousId or "").encode()
            value = event.model_dump_json(exclude_none=True).encode()
            await producer.send_and_wait(_TOPIC, value, key=key)

        @app.post("/v1/batch")
        async def batch(sent: Batch) -> dict[str, bool]:  # pyright: ignore[reportUnusedFunction] - the route uses it
            for event in sent.batch:
                await publish(event)
            return {"success": True}

        @app.post("/v1/track")
        async def track(sent: Event) -> dict[str, bool]:  # pyright: ignore[reportUnusedFunction] - the route uses it
            await publish(sent)
            return {"success": True}

        yield app


async def serve(app: ASGIApp) -> None:
    """Serve as our services do, on a free port, which is printed."""
    listener = listen(app, "127.0.0.1", 0, 1)
    async with listener.running() as port:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await listener.task


async def main(kind: str) -> None:
    """Be one of them."""
    if kind == "raw":
        await serve(raw)
        return
    async with textbook(os.environ["CLM_KAFKA_BOOTSTRAP"]) as app:
        await serve(app)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
