"""The touchpoint that a CloudEvent becomes.

| `type` | touchpoint |
|---|---|
| `clm.touchpoint.{track,identify,page,screen,group,alias}.v1` | that call; `data` is its body |
| anything else | a `track` call; `data` are its properties |

The event's name is the extension `event`, else the type. The customer is the extensions `userid`
and `anonymousid`, else `userId` and `anonymousId` in the data, else `subject`. The message id is
derived from `source` and `id`, which together are what CloudEvents hold to be unique.
"""

import hashlib
import re
from typing import Any, Final

import msgspec

from clm_common.contracts.touchpoint import TYPES
from clm_ingest.core.translation import Fields, Untranslatable

_OURS: Final = re.compile(r"clm\.touchpoint\.(\w+)\.v1", re.ASCII)
_DIGITS: Final = 40


def message_id_of(source: str, event_id: str) -> str:
    """Derive the message id: the same for the same (source, id), another for any other."""
    pair = msgspec.json.encode([source, event_id])
    return f"ce-{hashlib.sha256(pair).hexdigest()[:_DIGITS]}"


def touchpoint_of(attributes: Fields, data: Any) -> Fields:  # Any: the sender's own JSON
    """Give the touchpoint an event becomes.

    Args:
        attributes: its checked attributes, extensions included.
        data: its data as JSON; None if it has none.

    Raises:
        Untranslatable: it is named as one of our own calls, and its data are no object.
    """
    message_id = message_id_of(attributes["source"], attributes["id"])
    ours = _OURS.fullmatch(attributes["type"])
    if ours and ours[1] in TYPES:
        touchpoint = _call(ours[1], data, message_id)
    else:
        touchpoint = {"type": "track", "event": attributes["type"], "properties": _properties(data)}
        if event := attributes.get("event"):
            touchpoint["event"] = event
    context = data.get("context") if ours and isinstance(data, dict) else None
    return {
        **touchpoint,
        "messageId": message_id,
        **_who(attributes, data),
        **({"timestamp": attributes["time"]} if "time" in attributes else {}),
        "context": {**(context if isinstance(context, dict) else {}), "cloudevent": attributes},
    }


def _call(kind: str, data: Any, message_id: str) -> Fields:  # Any: the sender's own JSON
    if not isinstance(data, dict):
        detail = f"the data of clm.touchpoint.{kind}.v1 must be a JSON object"
        raise Untranslatable("cloudevent.data", detail, message_id)
    return {**data, "type": kind}


def _properties(data: Any) -> Fields:  # Any: the sender's own JSON
    if isinstance(data, dict):
        return data
    return {} if data is None else {"data": data}


def _who(attributes: Fields, data: Any) -> Fields:  # Any: the sender's own JSON
    inside: Fields = data if isinstance(data, dict) else {}
    user = _given(attributes.get("userid"), inside.get("userId"))
    anonymous = _given(attributes.get("anonymousid"), inside.get("anonymousId"))
    if user is None and anonymous is None:
        user = attributes.get("subject")
    found = {"userId": user, "anonymousId": anonymous}
    return {name: value for name, value in found.items() if value is not None}


def _given(*values: object) -> object:
    return next((value for value in values if value is not None and value != ""), None)
