"""Sends HTTP requests as fast as they are answered, or at a given rate, from a process of its own.

    python -m benchmarks.load

Reads an `Order` as MessagePack from standard input, and prints a `Harvest` as JSON. It is a
process of its own so that its CPU is nobody else's, and so lean that it is not what is measured:
bytes are written as they are, and of an answer only status, length and Retry-After are looked at.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final, cast

import msgspec
import uvloop
from msgspec import Struct

TOKEN: Final = b"@@@@@@@@@@@@"
"""Stands in message ids; each request sent has a number of its own there: nothing is a repeat."""

MOMENT: Final = b"@@@@-@@-@@T@@:@@:@@.@@@Z"
"""Stands for a time; each request sent has the time of its sending there."""

_numbers: Final = itertools.count(random.getrandbits(47))  # another process begins elsewhere
_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"


class Order(Struct, frozen=True):
    """What is to be sent.

    Attributes:
        ports: where to; connections are dealt out in turn.
        requests: complete HTTP requests, of which one at random is sent at a time, its `TOKEN`s
            and `MOMENT`s replaced.
        connections: how many at once; each sends one request at a time.
        seconds: for how long.
        rate: requests per second over all connections; None: as fast as they are answered.
    """

    ports: Sequence[int]
    requests: Sequence[bytes]
    connections: int
    seconds: float
    rate: float | None = None


class Harvest(Struct, frozen=True):
    """What came back.

    Attributes:
        statuses: answers by status.
        advised: answers with Retry-After.
        seconds: from the first request to the last answer.
        p50: seconds to an answer; with a rate from when its request was due, so that a server that
            is late is not spared.
        p99: the same.
        busy: CPU-seconds of this process.
    """

    statuses: dict[int, int]
    advised: int
    seconds: float
    p50: float
    p99: float
    busy: float

    @property
    def answers(self) -> int:
        """How many requests were answered."""
        return sum(self.statuses.values())


class Talk(asyncio.Protocol):
    """One connection: a request, its answer, the next request."""

    def __init__(self, order: Order, began: float, took: list[float], seen: Counter[int]) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.advised = 0
        self._order = order
        self._until = began + order.seconds
        self._pause = order.connections / order.rate if order.rate else 0.0
        self._due = began + random.random() * self._pause
        self._took, self._seen = took, seen
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._plan()

    def data_received(self, data: bytes) -> None:
        """Take an answer, once it is complete, and go on."""
        self._buffer += data
        head, end, rest = self._buffer.partition(_END)
        if not end:
            return
        lower = head.lower()
        at = lower.find(_LENGTH)
        if at >= 0 and len(rest) < int(lower[at + len(_LENGTH) :].split(b"\r\n", 1)[0]):
            return
        self._buffer = b""
        self._took.append(time.monotonic() - self._due)
        self._seen[int(head[9:12])] += 1
        self.advised += b"\r\nretry-after:" in lower
        self._due = self._due + self._pause if self._pause else time.monotonic()
        self._plan()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; a server that hangs up before the time is over is an error."""
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server hung up"))

    def _plan(self) -> None:
        """Send the next request when it is due."""
        if self._due >= self._until:
            self.done.set_result(None)
            self._transport.close()
        elif (wait := self._due - time.monotonic()) > 0 and self._pause:
            asyncio.get_running_loop().call_later(wait, self._send)
        else:
            self._send()

    def _send(self) -> None:
        request = random.choice(self._order.requests)
        request = request.replace(TOKEN, b"%012x" % next(_numbers))
        if MOMENT in request:
            now = datetime.now(UTC).isoformat(timespec="milliseconds")
            request = request.replace(MOMENT, f"{now[:23]}Z".encode())
        self._transport.write(request)


async def fulfil(order: Order) -> Harvest:
    """Send it all."""
    loop = asyncio.get_running_loop()
    took: list[float] = []
    seen: Counter[int] = Counter()
    began = time.monotonic()
    talks: list[Talk] = []
    for number in range(order.connections):
        port = order.ports[number % len(order.ports)]
        begin = partial(Talk, order, began, took, seen)
        _, talk = await loop.create_connection(begin, "127.0.0.1", port)
        talks.append(talk)
    await asyncio.gather(*(talk.done for talk in talks))
    seconds = time.monotonic() - began
    took.sort()
    used = os.times()
    return Harvest(
        dict(seen),
        sum(talk.advised for talk in talks),
        seconds,
        took[len(took) // 2],
        took[len(took) * 99 // 100],
        used.user + used.system,
    )


async def send(order: Order) -> Harvest:
    """Have a process of its own fulfil an order."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.load",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    found, _ = await process.communicate(msgspec.msgpack.encode(order))
    if process.returncode:
        raise RuntimeError(f"the load generator ended with {process.returncode}")
    return msgspec.json.decode(found, type=Harvest)


def main() -> None:
    """Fulfil the order on standard input."""
    order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(fulfil(order))))


if __name__ == "__main__":
    main()
