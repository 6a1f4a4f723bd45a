"""Ingest's routes over HTTP, with everything around them in memory."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence

import httpx
import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from clm_common.bus.memory import MemoryBroker, MemoryProducer, MemoryRecord
from clm_common.bus.ports import Message, Producer
from clm_common.clock import ManualClock
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.topics import Topic
from clm_common.errors import Unavailable
from clm_common.instant import from_rfc3339
from clm_ingest.core.credentials import digest_of
from clm_ingest.core.hooks import Hook
from clm_ingest.handlers import Bounds, Tracking
from clm_ingest.keyring import Keyring
from clm_ingest.receiver import Receiver
from clm_ingest.routes import ALL
from clm_ingest.routes_hooks import shipped
from clm_ingest.shim import Shim
from clm_ingest.store import Keys
from clm_ingest.table import Table

KEY = "wk_Zq3-v_8aPf0Jm1cT7yXeRs2LdKbNhGuW"
NOW = from_rfc3339("2026-11-22T10:00:00Z")
BASIC = {"authorization": "Basic " + base64.b64encode(f"{KEY}:".encode()).decode()}
EVENT = {
    "type": "track",
    "event": "Order Completed",
    "userId": "u-1",
    "messageId": "m-1",
    "timestamp": "2026-11-22T09:00:00Z",
}


def keys_of(write_key: str = KEY, *, disabled: bool = False) -> Keys:
    return Keys("s-1", "acme", digest_of(write_key), None, None, disabled)


class Recording:
    """A producer that only writes down what it is given, in that order."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def publish(self, messages: Sequence[Message]) -> None:
        """Write down."""
        self.messages.extend(messages)

    async def ping(self) -> None:
        """Be there."""

    def on(self, topic: Topic) -> list[Message]:
        """Give what was meant for a topic."""
        return [it for it in self.messages if it.topic == topic.name]


class IngestWorld:
    """Ingest's tracking routes with everything around them in memory."""

    def __init__(
        self,
        bounds: Bounds | None = None,
        *,
        public_url: str = "",
        producer: Callable[[MemoryBroker], Producer] = MemoryProducer,
        rest: ASGIApp | None = None,
        prefix: str = "",
        mappings: Mapping[str, Hook] | None = None,
    ) -> None:
        self.broker = MemoryBroker()
        self.clock = ManualClock(NOW)
        self.keys: Sequence[Keys] = [
            keys_of(),
            keys_of("wk_test"),
            keys_of("wk_disabled", disabled=True),
        ]
        self.store_away = False
        self.keyring = Keyring(self._read, self.clock)
        tracking = Tracking(
            self.keyring,
            producer(self.broker),
            self.clock,
            bounds or Bounds(read_seconds=0.2, window_bytes=0),
            public_url,
            receiver=Receiver(self.keyring, shipped() if mappings is None else mappings),
        )
        self.app = Shim(tracking, Table(ALL), rest or _nobody, prefix=prefix)
        transport = httpx.ASGITransport(self.app)
        self.http = httpx.AsyncClient(transport=transport, base_url="http://t.example.com")

    async def _read(self) -> Sequence[Keys]:
        if self.store_away:
            raise Unavailable("database.away", "PostgreSQL is away")
        return self.keys

    async def post(
        self, path: str, body: object, *, headers: Mapping[str, str] = BASIC
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.post(path, content=content, headers=headers)

    def landed(self) -> list[MemoryRecord]:
        return self.broker.records("clm.touchpoints")

    def letters(self) -> list[DeadLetter]:
        records = self.broker.records("clm.touchpoints.dlq")
        return [msgspec.json.decode(record.value or b"", type=DeadLetter) for record in records]


async def _nobody(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def assert_error(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body.keys() == {"code", "message", "detail"}
    assert body["code"] == code
    assert all(isinstance(text, str) and text for text in body.values())
