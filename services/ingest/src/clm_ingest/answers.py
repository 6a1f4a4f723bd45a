"""What the tracking routes answer: JSON objects, errors included, readable from any origin.

SDKs drop events on statuses they do not expect and cannot read answers without CORS headers, so
success is exactly 200, every error is `{code, message, detail}`, and the origin is echoed always.
"""

import base64
from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.types import Send

from clm_common.errors import ClmError, Rejected, Unavailable
from clm_ingest.core.admission import Verdicts
from clm_ingest.core.parcel import Parcel
from clm_ingest.core.rules import CONSENT
from clm_ingest.core.translation import Translated

Headers = list[tuple[bytes, bytes]]

_RETRY_AFTER: Final = (b"retry-after", b"2")  # SDKs understand whole seconds only
_JSON: Final = (b"content-type", b"application/json")
_EXPOSED: Final = (b"access-control-expose-headers", b"Retry-After")
_VARY: Final = (b"vary", b"Origin")
_METHODS: Final = (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
_CREDENTIALS: Final = (b"access-control-allow-credentials", b"true")
_MAX_AGE: Final = (b"access-control-max-age", b"7200")
_TOLD: Final = {"allow": b"allow", "retry_after": b"retry-after"}
_NO_STORE: Final = (b"cache-control", b"no-store")

_TOO_SLOW: Final = 408
_CLOSE: Final = (b"connection", b"close")  # whatever trickles in still is not waited for
_TOO_LARGE: Final = "touchpoint.too_large"

_MESSAGES: Final = {
    400: "the request cannot be read",
    401: "the sender is not known: see the detail",
    403: "the source does not take this",
    404: "there is no such route",
    405: "the method is not allowed here",
    408: "the body did not arrive in time",
    413: "the request is too large",
    415: "the content encoding is not supported",
    429: "too much at once; wait and send it again",
    500: "something went wrong here",
    503: "not now; try again",
}


class Answer(Struct, frozen=True):
    """One HTTP answer, without the CORS headers that depend on the request."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    kind: tuple[bytes, bytes] = _JSON


SUCCESS: Final = Answer(200, b'{"success":true}')

PIXEL: Final = Answer(
    200,
    base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"),
    (_NO_STORE, (b"cross-origin-resource-policy", b"cross-origin")),
    (b"content-type", b"image/gif"),
)
"""A transparent GIF of one pixel, which no cache may keep and any page may show."""


def document(value: Any) -> Answer:  # Any: whatever msgspec writes as JSON
    """Answer 200 with a JSON document that nobody may keep."""
    return Answer(200, msgspec.json.encode(value), (_NO_STORE,))


def tell(parcel: Parcel, verdicts: Verdicts) -> Answer:
    """Answer that events are on Kafka, and which of a batch are in the quarantine instead.

    An event whose sender does not wish to be followed is no error, whichever way it was sent.
    """
    if not verdicts.refused:
        return SUCCESS
    fault = verdicts.refused[0].fault
    single = parcel.kind is not None or (isinstance(parcel, Translated) and parcel.single)
    if single and not fault.code.startswith(CONSENT):
        status = 413 if fault.code == _TOO_LARGE else 400
        return error(status, fault.code, fault.detail)
    rejected = [
        {"index": each.index, "messageId": each.fault.message_id, "code": each.fault.code}
        for each in verdicts.refused
    ]
    return Answer(200, msgspec.json.encode({"success": True, "rejected": rejected}))


def error(status: int, code: str, detail: str, *headers: tuple[bytes, bytes]) -> Answer:
    """Answer with an error object."""
    body = {"code": code, "message": _MESSAGES[status], "detail": detail}
    return Answer(status, msgspec.json.encode(body), headers)


def error_of(fault: ClmError) -> Answer:
    """Answer what became of a request whose handling raised one of our errors."""
    if isinstance(fault, Rejected):
        told = ((name, fault.values.get(value)) for value, name in _TOLD.items())
        headers = [(name, str(value).encode()) for name, value in told if value]
        if fault.status == _TOO_SLOW:
            headers.append(_CLOSE)
        return error(fault.status, fault.slug, fault.message, *headers)
    if isinstance(fault, Unavailable):
        return error(503, fault.slug, "the event was not stored; send it again", _RETRY_AFTER)
    return error(500, "internal", "the error is logged here; send the event again later")


def preflight(asked: bytes) -> Answer:
    """Allow a browser to send what it asks for, retry headers included.

    Args:
        asked: the `Access-Control-Request-Headers` of the request, echoed.
    """
    allowed = ((b"access-control-allow-headers", asked),) if asked else ()
    return Answer(200, SUCCESS.body, (_METHODS, _MAX_AGE, *allowed))


def readable_by(origin: bytes) -> Headers:
    """Give the headers that let a page of this origin read an answer."""
    return [(b"access-control-allow-origin", origin), _EXPOSED, _VARY]


async def reply(send: Send, answer: Answer, origin: bytes, *, credentials: bool = True) -> None:
    """Send an answer; with an `Origin` it is made readable there.

    Args:
        send: ASGI's.
        answer: what to say.
        origin: the request's `Origin`; empty if it has none.
        credentials: a page may send its cookies along. Nothing here reads any, so it can do no
            harm, and a page that always does so could else not send events.
    """
    length = (b"content-length", str(len(answer.body)).encode())
    headers: Headers = [answer.kind, length, *answer.headers]
    if origin:
        headers += readable_by(origin)
        if credentials:
            headers.append(_CREDENTIALS)
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})
