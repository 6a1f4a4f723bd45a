"""Webhooks: a mapping in JMESPath turns any body into zero, one or several touchpoints. Pure.

Expressions are evaluated over `{"headers": …, "body": …}`; names of headers are in lower case.
A touchpoint's id is derived from the hook, the sender's id of the delivery and the touchpoint's
place, so a redelivery counts once, and two senders that give the same ids do not meet.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Final

import jmespath
import msgspec
from jmespath import exceptions
from jmespath.parser import ParsedResult
from pydantic import AfterValidator, Field

from clm_common.catalog import Definition, Strict
from clm_common.contracts.touchpoint import TouchpointType, customer_id
from clm_ingest.core.admission import Refusal
from clm_ingest.core.glimpse import Fault
from clm_ingest.core.hook_bodies import body_of
from clm_ingest.core.hook_functions import OPTIONS
from clm_ingest.core.letters import TOO_LARGE
from clm_ingest.core.parcel import Limits
from clm_ingest.core.request import Request
from clm_ingest.core.translation import UNWRITABLE, Fields, Translated, Untranslatable

_encode: Final = msgspec.json.Encoder().encode
_HEADER: Final = re.compile(r'\bheaders\.(?:"([^"]+)"|(\w+))')
_LONGEST_HEADER: Final = 1_000
_SECRET: Final = frozenset(["authorization", "cookie", "proxy-authorization", "x-write-key"])
_UNFIT: Final = (
    exceptions.JMESPathError,
    ArithmeticError,
    RecursionError,
    TypeError,
    ValueError,
)


def _compiles(text: str) -> str:
    try:
        _compiled(text)
    except exceptions.JMESPathError as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"{text!r} is no JMESPath expression: {first}") from None
    return text


@lru_cache(maxsize=4_096)
def _compiled(text: str) -> ParsedResult:
    return jmespath.compile(text)


Expression = Annotated[str, Field(max_length=2_000), AfterValidator(_compiles)]


class Outcome(Strict):
    """One touchpoint that a body may become.

    Attributes:
        when: it does where this is neither false nor empty.
        type: the kind of touchpoint.
        event: the name of a track call.
        user_id: who it was; a number becomes text.
        anonymous_id: likewise, where the sender has only an id of its own.
        timestamp: when it happened.
        properties: facts about it; what evaluates to null is left out.
        traits: facts about the person.
        context: where it happened.
    """

    when: Expression
    type: TouchpointType = "track"
    event: str | None = None
    user_id: Expression | None = Field(default=None, alias="userId")
    anonymous_id: Expression | None = Field(default=None, alias="anonymousId")
    timestamp: Expression
    properties: dict[str, Expression] = Field(default={})
    traits: dict[str, Expression] = Field(default={})
    context: dict[str, Expression] = Field(default={})


class Hook(Definition):
    """A mapping from a sender's webhooks to touchpoints.

    Attributes:
        id: the sender's id of a delivery, the same when it is delivered again.
        touchpoints: what a body may become; one that fits none is ignored.
    """

    id: Expression
    touchpoints: Annotated[list[Outcome], Field(min_length=1)]

    @property
    def headers(self) -> frozenset[str]:
        """The headers that the mapping reads, in lower case; no other is kept of a request."""
        names = {
            (quoted or plain).lower()
            for text in self._expressions()
            for quoted, plain in _HEADER.findall(text)
        }
        return frozenset({"content-type", *names} - _SECRET)

    def _expressions(self) -> Iterator[str]:
        yield self.id
        for it in self.touchpoints:
            yield from (it.when, it.user_id or "", it.anonymous_id or "", it.timestamp)
            for parts in (it.properties, it.traits, it.context):
                yield from parts.values()


def touchpoints_of(
    hook: Hook, headers: Mapping[str, str], raw: bytes, identity: str | None = None
) -> list[Fields]:
    """Give the touchpoints of a body, in Segment's form.

    Args:
        hook: the mapping.
        headers: of the request, names in lower case.
        raw: the body.
        identity: begins the message ids; by default the mapping's key.

    Raises:
        Untranslatable: it is no JSON object or form, or not of the kind that the mapping is for.
    """
    sent = {"headers": dict(headers), "body": body_of(headers.get("content-type", ""), raw)}
    outcomes = [(at, it) for at, it in enumerate(hook.touchpoints) if _found(it.when, sent)]
    if not outcomes:
        return []
    delivery = customer_id(_found(hook.id, sent))
    if delivery is None:
        raise Untranslatable("hook.id_missing", f"{hook.id} gives no id of the delivery")
    return [_touchpoint(it, sent, f"{identity or hook.key}-{delivery}-{at}") for at, it in outcomes]


def unpack(
    hook: Hook, identity: str, headers: Mapping[str, str], body: bytes, limits: Limits
) -> Translated:
    """Open a webhook's body; what cannot be mapped goes to the quarantine as it was sent.

    Args:
        hook: the mapping.
        identity: begins the message ids.
        headers: of the request, names in lower case.
        body: as it was sent.
        limits: how much of it is kept.
    """
    try:
        events = [_encode(it) for it in touchpoints_of(hook, headers, body, identity)]
    except Untranslatable as error:
        return _hopeless(error.fault, hook, identity, headers, body, limits)
    except UNWRITABLE as error:
        fault = Fault("hook.unfit", f"what the mapping gives cannot be written as JSON: {error}")
        return _hopeless(fault, hook, identity, headers, body, limits)
    return Translated(
        kind=None, events=events, glimpses=None, places=[0] * len(events), hopeless=()
    )


def headers_of(request: Request) -> dict[str, str]:
    """Give a request's headers as text."""
    return {name.decode("latin-1"): it.decode("latin-1") for name, it in request.headers.items()}


def _hopeless(
    fault: Fault,
    hook: Hook,
    identity: str,
    headers: Mapping[str, str],
    body: bytes,
    limits: Limits,
) -> Translated:
    """Refuse a body, with what it takes to read it once more later."""
    if len(body) > limits.event_bytes:  # its beginning alone is kept
        fault = Fault(TOO_LARGE, f"{fault.code}: {fault.detail}", fault.message_id)
    kept = {name: headers[name] for name in hook.headers if name in headers}
    bounded = {name: text[:_LONGEST_HEADER] for name, text in kept.items()}
    refusal = Refusal(fault, 0, body, hook=identity, headers=bounded)
    return Translated(kind=None, events=[], glimpses=None, places=[], hopeless=[refusal])


def _touchpoint(outcome: Outcome, sent: Fields, message_id: str) -> Fields:
    bodies = {
        "properties": outcome.properties,
        "traits": outcome.traits,
        "context": outcome.context,
    }
    made: Fields = {"type": outcome.type, "messageId": message_id, "event": outcome.event}
    made["userId"] = customer_id(_of(outcome.user_id, sent, message_id))
    made["anonymousId"] = customer_id(_of(outcome.anonymous_id, sent, message_id))
    made["timestamp"] = _of(outcome.timestamp, sent, message_id)
    for name, parts in bodies.items():
        values = {key: _of(text, sent, message_id) for key, text in parts.items()}
        made[name] = {key: value for key, value in values.items() if value is not None} or None
    if made["userId"] is None and made["anonymousId"] is None:
        raise Untranslatable(
            "hook.identity_missing", "the body does not say who it was", message_id
        )
    if made["timestamp"] is None:
        detail = f"{outcome.timestamp} gives no time"
        raise Untranslatable("hook.time_missing", detail, message_id)
    return {name: value for name, value in made.items() if value is not None}


def _of(text: str | None, sent: Fields, message_id: str) -> Any:  # Any: JSON
    try:
        return None if text is None else _found(text, sent)
    except Untranslatable as error:
        raise Untranslatable(error.fault.code, error.fault.detail, message_id) from None


def _found(text: str, sent: Fields) -> Any:  # Any: JSON
    try:
        return _compiled(text).search(sent, OPTIONS)
    except _UNFIT as error:
        detail = f"{text} cannot be evaluated: {type(error).__name__}"
        raise Untranslatable("hook.unfit", detail) from None
