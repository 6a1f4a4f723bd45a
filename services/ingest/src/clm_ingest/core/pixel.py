"""Pixels: a touchpoint in the query of an image's address, for mails and pages without scripts.

`?data=` carries the event as JSON, plain or in base64 (Segment); other fields are the event's own
(RudderStack), a dot leading inwards: `properties.campaign=spring`. What is no field of an event is
a property. Nobody reads the answer, so whatever cannot be read is quarantined.
"""

import base64
import binascii
from typing import Final
from urllib.parse import parse_qsl

from msgspec import structs

from clm_common.contracts.touchpoint import TouchpointType
from clm_common.errors import Rejected
from clm_ingest.core.parcel import Parcel
from clm_ingest.core.translation import Fields, Item, Untranslatable, object_of, translate

_OWN: Final = frozenset(
    {"event", "name", "userId", "anonymousId", "groupId", "previousId", "messageId", "writeKey"}
    | {"timestamp", "originalTimestamp", "sentAt", "channel"}
)
_NESTED: Final = frozenset({"properties", "traits", "context", "integrations"})
_MOST_FIELDS: Final = 200
_DEEPEST: Final = 8


def unpack(query: bytes, kind: TouchpointType) -> Parcel:
    """Open a pixel's query.

    Args:
        query: as it was sent.
        kind: the touchpoint's type, which the path says.

    Raises:
        Rejected: 400 if there is no event in it.
    """
    keys: list[object] = []

    def read(raw: bytes) -> Fields:
        event = _event_in(raw)
        keys.append(event.pop("writeKey", None))
        return {**event, "type": kind}

    parcel = translate([Item(0, query)], read, single=True)
    if parcel.hopeless:
        fault = parcel.hopeless[0].fault
        raise Rejected(400, fault.code, fault.detail)
    key = next(iter(keys), None)
    return structs.replace(parcel, write_key=key) if isinstance(key, str) else parcel


def _event_in(query: bytes) -> Fields:
    try:
        found = parse_qsl(
            query.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        detail = f"a pixel may have {_MOST_FIELDS} fields"
        raise Untranslatable("touchpoint.malformed", detail) from None
    fields = dict(found)
    data = fields.pop("data", None)
    event = {} if data is None else object_of(_decoded(data))
    for name, text in fields.items():
        _put(event, name, text)
    return event


def _decoded(data: str) -> bytes:
    """Give the JSON in `data`, which may be in base64 of either alphabet, padded or not."""
    if data.lstrip()[:1] == "{":
        return data.encode()
    packed = data.strip().replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(packed + "=" * (-len(packed) % 4), validate=True)
    except (ValueError, binascii.Error):
        detail = "data must be a JSON object, plain or in base64"
        raise Untranslatable("touchpoint.malformed", detail) from None


def _put(event: Fields, name: str, text: str) -> None:
    """Put one field of the query into the event; what is there already is kept."""
    first, *rest = name.split(".", _DEEPEST)
    if first in _NESTED and not rest:
        event.setdefault(first, object_of(text.encode()))
    elif first in _NESTED:
        _nest(event, [first, *rest], text)
    elif name in _OWN:
        event.setdefault(name, text)
    else:
        _nest(event, ["properties", name], text)


def _nest(event: Fields, path: list[str], text: str) -> None:
    *way, last = path
    place = event
    for step in way:
        inner = place.setdefault(step, {})
        if not isinstance(inner, dict):
            return
        place = inner
    place.setdefault(last, text)
