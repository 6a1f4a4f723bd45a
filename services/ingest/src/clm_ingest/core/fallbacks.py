"""What RudderStack's browser SDK says in headers, for events that do not say it themselves.

`SentAt` is when the request was sent, `AnonymousId` the device's id in base64.
"""

import base64
import binascii
from typing import Final

import msgspec
from msgspec import Raw, structs

from clm_ingest.core.glimpse import LONGEST, UNREADABLE
from clm_ingest.core.parcel import Parcel
from clm_ingest.core.request import Request

SENT_AT: Final = b"sentat"
ANONYMOUS_ID: Final = b"anonymousid"

_NONE: Final = (b"null", b'""')
_as_fields: Final = msgspec.json.Decoder(dict[str, Raw]).decode
_encode: Final = msgspec.json.Encoder().encode


def with_fallbacks(parcel: Parcel, request: Request) -> Parcel:
    """Fill in what a parcel lacks from its request's headers."""
    if parcel.sent_at is None and (sent_at := request.header(SENT_AT)):
        parcel = structs.replace(parcel, sent_at=sent_at.decode("latin-1"))
    anonymous_id = _decoded(request.header(ANONYMOUS_ID))
    if not anonymous_id or _all_have_ids(parcel):
        return parcel
    events = [_identified(bytes(event), anonymous_id) for event in parcel.events]
    return structs.replace(parcel, events=events, glimpses=None)


def _all_have_ids(parcel: Parcel) -> bool:
    glimpses = parcel.glimpses
    return glimpses is not None and all(
        each.user_id not in {None, ""} or each.anonymous_id not in {None, ""} for each in glimpses
    )


def _identified(raw: bytes, anonymous_id: str) -> bytes:
    """Give an event that has neither id the device's; leave any other as it is."""
    try:
        fields = _as_fields(raw)
    except UNREADABLE:
        return raw  # admission says what is wrong with it
    if any(bytes(fields.get(name, b"null")) not in _NONE for name in ("userId", "anonymousId")):
        return raw
    fields["anonymousId"] = Raw(_encode(anonymous_id))
    return _encode(fields)


def _decoded(header: bytes) -> str | None:
    """Read the header, in base64 or plain; None if it is no usable id."""
    try:
        header = base64.b64decode(header, validate=True)
        text = header.decode()
    except (binascii.Error, ValueError):
        text = header.decode("latin-1")
    return text if 0 < len(text) <= LONGEST and text.isprintable() else None
