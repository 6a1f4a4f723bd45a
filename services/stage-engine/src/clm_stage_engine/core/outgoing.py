"""Outgoing webhooks, decided: what a subscription takes, how it is signed, when it is tried again.

Form and signature are those of Standard Webhooks 1.0; the body is the CloudEvent of
`clm.stage-changes` in CloudEvents' structured JSON mode.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from clm_common.bus.ports import Message
from clm_common.contracts import envelope
from clm_common.contracts.stage_change import StageChange
from clm_common.instant import to_rfc3339
from clm_stage_engine.core import river

CONTENT_TYPE: Final = "application/cloudevents+json"
PREFIX: Final = "whsec_"
TEST_TYPE: Final = "clm.webhook-test.v1"

SECRET_BYTES: Final = 32

SCHEDULE: Final = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds to wait after the first failure, the second and so on: about three days in all."""

JITTER: Final = 0.2
"""By which share a wait is longer at most."""

LONGEST_WAIT: Final = 86_400.0
"""Seconds that an endpoint may ask us to wait."""

GONE: Final = 410

State = Literal["waiting", "delivered", "dead"]
Outcome = Literal["delivered", "retried", "dead"]


class Filter(Struct, frozen=True, omit_defaults=True):
    """Which stage changes a subscription takes.

    Attributes:
        lifecycle: only this one's, by key; None for all.
        sources: only changes that leave one of these stages; empty for all.
        targets: only changes that enter one of these stages; empty for all.
        retracted: corrections, too.
        historical: what follows from imported history, too.
    """

    lifecycle: str | None = None
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    retracted: bool = True
    historical: bool = False

    def takes(self, change: StageChange) -> bool:
        """Tell whether a change is to be delivered."""
        return (
            self.lifecycle in {None, change.lifecycle}
            and (not self.sources or change.source in self.sources)
            and (not self.targets or change.target in self.targets)
            and (self.retracted or not change.retracted)
            and (self.historical or not change.historical)
        )


class Answer(Struct, frozen=True):
    """What became of a try.

    Attributes:
        status: the response's code; None where there was none.
        reason: why it failed, one word for people; None where it did not.
        retry_after: seconds that the endpoint asked us to wait.
    """

    status: int | None
    reason: str | None = None
    retry_after: float | None = None


class Verdict(Struct, frozen=True):
    """What follows from a try: the delivery's state, and in how many seconds it is tried again."""

    state: State
    wait: float = 0.0

    @property
    def outcome(self) -> Outcome:
        """Name it for the metrics."""
        return "retried" if self.state == "waiting" else self.state


def judge(
    answer: Answer, attempts: int, chance: float, schedule: Sequence[float] = SCHEDULE
) -> Verdict:
    """Decide what follows from a try.

    Args:
        answer: what became of it.
        attempts: how many there were, this one included.
        chance: in [0, 1), for the jitter, so that endpoints that were away are not stormed.
        schedule: the waits.
    """
    if answer.reason is None:
        return Verdict("delivered")
    if answer.status == GONE or attempts > len(schedule):
        return Verdict("dead")
    wait = schedule[attempts - 1] * (1 + JITTER * chance)
    asked = min(answer.retry_after or 0.0, LONGEST_WAIT)
    return Verdict("waiting", max(wait, asked))


def message_of(change: StageChange) -> tuple[str, bytes]:
    """Give a change's webhook id and body: the id and the content of its public CloudEvent."""
    _, public = river.columns([change])
    return _structured(public[0])


def _structured(message: Message) -> tuple[str, bytes]:
    it = envelope.read(message.all_headers())
    event = {
        "specversion": "1.0",
        "id": it.id,
        "source": it.source,
        "type": it.type,
        "time": it.time,
        "subject": it.subject,
        "datacontenttype": "application/json",
        **dict(it.extensions),
        "data": Raw(message.value),
    }
    return it.id, msgspec.json.encode(event)


def trial(name: str, workspace: str, now: int) -> bytes:
    """Give the body that tries an endpoint out; it is about nobody."""
    event = {
        "specversion": "1.0",
        "id": name,
        "source": f"/workspaces/{workspace}/stage-engine",
        "type": TEST_TYPE,
        "time": to_rfc3339(now),
        "datacontenttype": "application/json",
        "data": {"test": True},
    }
    return msgspec.json.encode(event)


def write_secret(random: bytes) -> str:
    """Write a secret as Standard Webhooks has it."""
    return PREFIX + base64.b64encode(random).decode()


def signed(name: str, at: int, body: bytes, secrets: Sequence[str]) -> dict[str, str]:
    """Give the headers of a delivery.

    Args:
        name: the message's id; the same at every try.
        at: the instant of this try, in seconds.
        body: what is sent.
        secrets: what signs it, as `write_secret` wrote them: each gives one signature.
    """
    content = b".".join([name.encode(), str(at).encode(), body])
    return {
        "content-type": CONTENT_TYPE,
        "user-agent": "clm-webhooks/1",
        "webhook-id": name,
        "webhook-timestamp": str(at),
        "webhook-signature": " ".join(_signature(content, each) for each in secrets),
    }


def _signature(content: bytes, secret: str) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    return "v1," + base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
