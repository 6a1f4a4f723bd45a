"""What ingest is measured against: a raw ASGI answer, the barest ingest, the textbook service.

    python -m benchmarks.rivals_of_ingest raw|bare|textbook

Started by `bench_ingest`; prints its port, serves until it is killed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import structlog
import uvloop
from aiokafka import AIOKafkaProducer
from fastapi import FastAPI
from msgspec import Raw, Struct
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from clm_common.bus.columns import Columns
from clm_common.bus.kafka import GroupProducer, KafkaSettings
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


class _Seen(Struct, rename="camel", gc=False):
    """What a key is made of."""

    user_id: str | None = None
    anonymous_id: str | None = None


class _Events(Struct):
    batch: list[Raw]


class _Keys(Struct):
    batch: list[_Seen]


_events_in: Final = msgspec.json.Decoder(_Events).decode
_keys_in: Final = msgspec.json.Decoder(_Keys).decode
_key_of: Final = msgspec.json.Decoder(_Seen).decode

_SUCCESS: Final = b'{"success":true}'
_HEADERS: Final = [(b"content-type", b"application/json"), (b"content-length", b"16")]


@asynccontextmanager
async def bare(bootstrap: str) -> AsyncGenerator[ASGIApp]:
    """Decode with msgspec and publish by our producer: no write key, verdicts, times or headers."""
    async with GroupProducer(KafkaSettings(bootstrap=bootstrap), linger=0.002) as producer:

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            body, more = b"", True
            while more:
                event = await receive()
                body += event.get("body", b"")
                more = event.get("more_body", False)
            messages = Columns(_TOPIC, ())
            if scope["path"] == "/v1/batch":
                messages.values = [*map(bytes, _events_in(body).batch)]
                seen = _keys_in(body).batch
            else:
                messages.values, seen = [body], [_key_of(body)]
            messages.keys = [(it.user_id or it.anonymous_id or "").encode() for it in seen]
            messages.shared = [None] * len(seen)
            await producer.publish(messages)
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            await send({"type": "http.response.body", "body": _SUCCESS})

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
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    if kind == "raw":
        await serve(raw)
        return
    contestant = bare if kind == "bare" else textbook
    async with contestant(os.environ["CLM_KAFKA_BOOTSTRAP"]) as app:
        await serve(app)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
