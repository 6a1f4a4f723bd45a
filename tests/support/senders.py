"""Senders that behave as SDKs do: what is not answered 200 is sent again, and nothing else is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import httpx

from clm_common.contracts.topics import TOUCHPOINTS
from tests.support.ingest import IngestProcess, records_of, until

SENDERS: Final = 8
PER_BATCH: Final = 20
PAUSE: Final = 0.05
"""Seconds between an answer and the next batch; without, every core is busy with them alone."""


def event(message_id: str, customer: str) -> dict[str, str]:
    """Give a tracked event."""
    return {"type": "track", "event": "Clicked", "userId": customer, "messageId": message_id}


async def track(shop: IngestProcess, key: str) -> httpx.Response:
    """Send one event of a customer that no sender has."""
    return await shop.http.post("/v1/track", json=event("m-1", "u-0"), auth=(key, ""))


def assert_asked_to_wait(answer: httpx.Response) -> None:
    """Check that an SDK understands when to come again."""
    assert answer.status_code == 503
    assert 1 <= int(answer.headers["retry-after"]) <= 300
    assert answer.json().keys() == {"code", "message", "detail"}


async def until_it_works(shop: IngestProcess, key: str) -> None:
    """Wait until an event is taken."""

    async def works() -> bool:
        return (await track(shop, key)).status_code == 200

    await until(works)


class Sent:
    """What senders were told of what they sent.

    Attributes:
        acknowledged: by sender, the message ids that were answered 200, in order.
    """

    def __init__(self, shop: IngestProcess) -> None:
        self._workspace = shop.workspace
        self.acknowledged: Sequence[list[str]] = []

    async def check_landed(self, bootstrap: str) -> None:
        """Check that all that was answered 200 is on Kafka, in the order of its sender."""
        landed: dict[str, list[str]] = {}
        for record in await records_of(bootstrap, TOUCHPOINTS, self._workspace):
            sent = json.loads(record.value or b"")
            landed.setdefault(sent["userId"], []).append(sent["messageId"])
        for sender, ids in enumerate(self.acknowledged, 1):
            assert len(ids) > PER_BATCH
            first_appearances = list(dict.fromkeys(landed[f"u-{sender}"]))
            assert first_appearances[: len(ids)] == ids


@asynccontextmanager
async def senders(shop: IngestProcess, key: str) -> AsyncGenerator[Sent]:
    """Have senders at work during the block, each with a customer of its own."""
    stop, sent = asyncio.Event(), Sent(shop)
    numbers = range(1, SENDERS + 1)
    tasks = [asyncio.create_task(_send(shop, key, number, stop)) for number in numbers]
    try:
        yield sent
    finally:
        stop.set()
        sent.acknowledged = await asyncio.gather(*tasks)


async def _send(shop: IngestProcess, key: str, sender: int, stop: asyncio.Event) -> list[str]:
    """Send batches, each again until it is answered 200; gives the ids that were."""
    acknowledged: list[str] = []
    while not stop.is_set():
        first = len(acknowledged)
        ids = [f"{sender}:{number}" for number in range(first, first + PER_BATCH)]
        body = {"batch": [event(each, f"u-{sender}") for each in ids]}
        answer = await shop.http.post("/v1/batch", json=body, auth=(key, ""))
        if answer.status_code == 200:
            acknowledged += ids
        else:
            assert_asked_to_wait(answer)
        await asyncio.sleep(PAUSE)
    return acknowledged
