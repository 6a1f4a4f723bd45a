"""Requests that cannot be opened: what is kept of one, so that it can be opened once more later.

Whoever sent it is known by its head alone. It is kept whole, with what says how it is read: the
route, the query, and those headers that some route reads.
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from clm_common.contracts.dead_letter import DeadLetter
from clm_common.errors import Rejected
from clm_ingest.core.admission import Refusal
from clm_ingest.core.credentials import without_key
from clm_ingest.core.fallbacks import ANONYMOUS_ID, SENT_AT, with_fallbacks
from clm_ingest.core.glimpse import Fault
from clm_ingest.core.parcel import Limits, Parcel
from clm_ingest.core.request import Request

Unpack = Callable[[bytes, Request, Limits], Parcel]
"""Opens a request's body; pure, and raises `Rejected` where it is none of the right form."""

_IN_QUERY: Final = "GET"
_PREFIXES: Final = (b"ce-", b"posthog-")
_READ: Final = frozenset([b"content-type", ANONYMOUS_ID, SENT_AT])


def refusal_of(
    fault: Rejected, name: str, request: Request, body: bytes, limits: Limits
) -> Refusal:
    """Refuse a request as a whole.

    Args:
        fault: why it cannot be opened.
        name: the intake's, such as `POST /v1/batch`.
        request: the request; where its events stand in the query, that is kept, without the key.
        body: its body, inflated if that could be done.
        limits: how much of it is kept.
    """
    query, most = without_key(request.query), limits.event_bytes
    original, query = (query, b"") if request.method == _IN_QUERY else (body, query)
    return Refusal(
        Fault(fault.slug, fault.message),
        0,
        original[:most],
        headers=_headers_of(request) or None,
        request=f"{name}?{query.decode('latin-1')}" if query else name,
        truncated=len(original) > most,
    )


def name_in(letter: DeadLetter) -> str:
    """Give the name of the intake that is to open a letter's request."""
    return (letter.request or "").partition("?")[0]


def reopen(unpack: Unpack, letter: DeadLetter, mended: bytes | None, limits: Limits) -> Parcel:
    """Open a request of the quarantine once more.

    Args:
        unpack: opens it.
        letter: the request.
        mended: another body in place of its own; of a request without one, its event as JSON.
        limits: what is allowed.

    Raises:
        Rejected: it still cannot be opened.
    """
    method, _, target = (letter.request or "").partition(" ")
    path, _, text = target.partition("?")
    query, body = _raw(text), letter.original if mended is None else mended
    if method == _IN_QUERY:
        query = letter.original if mended is None else f"data={quote(mended)}".encode()
    headers = {_raw(name): _raw(value) for name, value in (letter.headers or {}).items()}
    request = Request(method, path, query, "https", headers)
    return with_fallbacks(unpack(body, request, limits), request)


def _raw(text: str) -> bytes:
    """Undo what `refusal_of` did to a part of a head; whatever another program wrote is taken."""
    return text.encode("latin-1", "replace")


def _headers_of(request: Request) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in request.headers.items()
        if name in _READ or name.startswith(_PREFIXES)
    }
