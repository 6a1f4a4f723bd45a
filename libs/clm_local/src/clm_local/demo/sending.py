"""Sends the calls with Segment's own Python SDK, unchanged, as a customer's website would."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from msgspec import Struct

from clm_common import instant
from clm_local.demo.clickstream import Call

PULSE: Final = 0.1

ROUNDS: Final = 3
"""How often what the SDK gave up on is tried in all, before it counts as an error."""

NO_PROXY: Final = {"http": "", "https": ""}
"""ingest is on this machine, whatever proxy the environment names."""


class Sent(Struct, frozen=True):
    """What became of the calls.

    Attributes:
        events: how many ingest accepted.
        errors: how many it did not, by reason.
        seconds: how long it took.
    """

    events: int
    errors: dict[str, int]
    seconds: float


def send(
    calls: Sequence[Call], *, host: str, write_key: str, progress: Callable[[int], None]
) -> Sent:
    """Send calls in order, and return when each is accepted or given up.

    Args:
        calls: what to send.
        host: ingest's address.
        write_key: the source's.
        progress: told every now and then how many are still to be sent.
    """
    started = time.monotonic()
    left, errors = list(calls), Counter[str]()
    for _ in range(ROUNDS):
        failed = _round(left, host, write_key, progress)
        errors = Counter(failed.values())
        left = [call for call in left if call.message_id in failed]
        if not left:
            break
    return Sent(len(calls) - len(left), dict(errors), round(time.monotonic() - started, 2))


def _round(
    calls: Sequence[Call], host: str, write_key: str, progress: Callable[[int], None]
) -> dict[str, str]:
    """Send once, and give the reason for each message id that was not accepted."""
    from segment.analytics.client import Client

    failed: dict[str, str] = {}

    def on_error(error: Exception, batch: list[dict[str, Any]]) -> None:  # Any: the SDK's JSON
        failed.update({item["messageId"]: str(error) for item in batch})

    logging.getLogger("segment").setLevel(logging.CRITICAL)  # we report errors ourselves
    client = Client(
        write_key, host=host, on_error=on_error, max_queue_size=len(calls) + 1, proxies=NO_PROXY
    )
    for number, call in enumerate(calls):
        _enqueue(client, call)
        if number % 250 == 0:
            progress(len(calls) - number + client.queue.qsize())
    while waiting := client.queue.unfinished_tasks:
        progress(waiting)
        time.sleep(PULSE)
    client.shutdown()
    progress(len(failed))
    return failed


def _enqueue(client: Any, call: Call) -> None:  # Any: the SDK is untyped
    common = {
        "user_id": call.user_id,
        "anonymous_id": call.anonymous_id,
        "timestamp": instant.to_datetime(call.time),
        "context": dict(call.context),
        "message_id": call.message_id,
    }
    match call.kind:
        case "identify":
            client.identify(traits=call.properties, **common)
        case "page":
            client.page(name=call.name, properties=call.properties, **common)
        case "track":
            client.track(event=call.name, properties=call.properties, **common)
