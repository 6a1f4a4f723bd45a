"""The touchpoint that a PostHog event becomes.

| event | touchpoint |
|---|---|
| `$pageview` | page |
| `$screen` | screen |
| `$identify`, `$set`, `$set_once`, and an update without a name (`/engage`) | identify |
| `$create_alias`, `$merge_dangerously` | alias |
| `$groupidentify` | group |
| anything else, `$autocapture` included | track of the same name |

`distinct_id` is the customer's `userId`, unless the event says that nobody is identified: then it
is the device's `anonymousId`. Of persons' properties `$set_once` and `$set` become traits; here a
later value always wins, and null, of which the browser SDK sends many, says nothing. Everything
else stays in `properties` as it was sent.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from clm_common.instant import from_datetime
from clm_ingest.core.timing import read, text_of
from clm_ingest.core.translation import Fields, Untranslatable, object_of

_SECRETS: Final = ("token", "$token", "api_key")
_PAGE: Final = {
    "$current_url": "url",
    "$pathname": "path",
    "$referrer": "referrer",
    "title": "title",
}
_CAMPAIGN: Final = {
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "name",
    "utm_term": "term",
    "utm_content": "content",
}
_CONTEXT: Final = {
    "$raw_user_agent": "userAgent",
    "$ip": "ip",
    "$browser_language": "locale",
    "$timezone": "timezone",
}
_MILLISECOND: Final = 1_000  # µs
_LONGEST_OFFSET: Final = 1e11  # ms; three years


class Sender(Struct, frozen=True):
    """What a request says about all of its events.

    Attributes:
        sent_at: when it was sent, by the sender's clock.
        name: the library's name.
        version: the library's version.
    """

    sent_at: Any = None  # Any: whatever was sent
    name: str | None = None
    version: str | None = None


class _Event(Struct, frozen=True):
    """A PostHog event, taken apart; `personless` says that nobody is behind `distinct_id`."""

    name: str
    distinct_id: Any  # Any: whatever was sent; admission judges it
    properties: Fields
    traits: Fields
    personless: bool


def touchpoint_of(raw: bytes, sender: Sender) -> Fields:
    """Give the touchpoint that an event becomes.

    Raises:
        Untranslatable: it has no name, or its properties are no object.
    """
    sent = object_of(raw)
    message_id = _first(sent.get("uuid"), _properties(sent).get("$insert_id"))
    event = _read(sent, message_id)
    make = _CALLS.get(event.name, _track)
    touchpoint = {
        **_who(event),
        **make(event),
        "properties": event.properties,
        "context": _context(event, sender),
        "messageId": message_id,
        "timestamp": _time(sent, sender),
    }
    return {name: value for name, value in touchpoint.items() if value is not None}


def _read(sent: Fields, message_id: object) -> _Event:
    properties = {name: value for name, value in _properties(sent).items() if name not in _SECRETS}
    traits = _traits(sent, properties)
    name = sent.get("event") or ("$identify" if "$set" in sent or "$set_once" in sent else None)
    if not isinstance(name, str) or not name:
        shown = message_id if isinstance(message_id, str) else None
        raise Untranslatable("touchpoint.event_missing", "event must be the event's name", shown)
    distinct_id = _first(
        sent.get("distinct_id"),
        sent.get("$distinct_id"),
        properties.get("distinct_id"),
        properties.get("$distinct_id"),
    )
    return _Event(name, distinct_id, properties, traits, _is_personless(sent, properties))


def _is_personless(sent: Fields, properties: Fields) -> bool:
    options = sent.get("options")
    switches = options if isinstance(options, dict) else {}
    said = (switches.get("process_person_profile"), properties.get("$process_person_profile"))
    return any(each is False for each in said)


def _properties(sent: Fields) -> Fields:
    properties = sent.get("properties")
    if properties is None:
        return {}
    if not isinstance(properties, dict):
        raise Untranslatable("touchpoint.properties_invalid", "properties must be an object")
    return properties


def _traits(sent: Fields, properties: Fields) -> Fields:
    traits: Fields = {}
    for name in ("$set_once", "$set"):
        for place in (properties, sent):
            if isinstance(found := place.get(name), dict):
                traits |= {key: value for key, value in found.items() if value is not None}
    return traits


def _who(event: _Event) -> Fields:
    properties, device = event.properties, event.properties.get("$device_id")
    nobody = (
        properties.get("$is_identified") is False
        or event.personless
        or (device is not None and device == event.distinct_id)
    )
    if nobody:
        return {"anonymousId": event.distinct_id}
    return {"userId": event.distinct_id, "anonymousId": device}


def _track(event: _Event) -> Fields:
    return {"type": "track", "event": event.name}


def _page(event: _Event) -> Fields:
    name = _first(event.properties.get("title"), event.properties.get("$pathname"))
    return {"type": "page", "name": name}


def _screen(event: _Event) -> Fields:
    return {"type": "screen", "name": event.properties.get("$screen_name")}


def _identify(event: _Event) -> Fields:
    found: Fields = {"type": "identify", "traits": event.traits}
    if (anonymous := event.properties.get("$anon_distinct_id")) is not None:
        found |= {"userId": event.distinct_id, "anonymousId": anonymous}
    return found


def _alias(event: _Event) -> Fields:
    """`alias` is the new name of `distinct_id`."""
    former = _first(event.properties.get("distinct_id"), event.distinct_id)
    return {"type": "alias", "userId": event.properties.get("alias"), "previousId": former}


def _merge(event: _Event) -> Fields:
    """`alias` is whom `distinct_id` takes in."""
    former = event.properties.get("alias")
    return {"type": "alias", "userId": event.distinct_id, "previousId": former}


def _group(event: _Event) -> Fields:
    """Where no customer is named, the SDKs for servers make up an id of type and key."""
    properties = event.properties
    traits = properties.get("$group_set")
    known = traits if isinstance(traits, dict) else {}
    made_up = f"${properties.get('$group_type')}_{properties.get('$group_key')}"
    nobody = {"userId": None, "anonymousId": made_up} if event.distinct_id == made_up else {}
    return {
        "type": "group",
        **nobody,
        "groupId": properties.get("$group_key"),
        "traits": {"groupType": properties.get("$group_type"), **known},
    }


_CALLS: Final[dict[str, Callable[[_Event], Fields]]] = {
    "$pageview": _page,
    "$screen": _screen,
    "$identify": _identify,
    "$set": _identify,
    "$set_once": _identify,
    "$create_alias": _alias,
    "$merge_dangerously": _merge,
    "$groupidentify": _group,
}


def _context(event: _Event, sender: Sender) -> Fields:
    properties = event.properties
    library = {
        "name": _first(properties.get("$lib"), sender.name),
        "version": _first(properties.get("$lib_version"), sender.version),
    }
    context: Fields = {
        **_renamed(properties, _CONTEXT),
        "library": {name: value for name, value in library.items() if value is not None},
        "page": _renamed(properties, _PAGE),
        "campaign": _renamed(properties, _CAMPAIGN),
        "traits": event.traits,
    }
    return {name: value for name, value in context.items() if value not in ({}, None)}


def _renamed(properties: Fields, names: dict[str, str]) -> Fields:
    return {ours: properties[theirs] for theirs, ours in names.items() if properties.get(theirs)}


def _time(sent: Fields, sender: Sender) -> object:
    """Give when it happened: as said, or so many milliseconds before it was sent."""
    if "timestamp" in sent:
        return sent["timestamp"]
    offset, sent_at = sent.get("offset"), read(sender.sent_at)
    if sent_at is None or isinstance(offset, bool) or not isinstance(offset, int | float):
        return None
    if abs(offset) > _LONGEST_OFFSET:
        return None
    return text_of(from_datetime(sent_at) - round(offset * _MILLISECOND)).decode()


def _first(*values: Any) -> Any:  # Any: whatever was sent
    return next((value for value in values if value is not None and value != ""), None)
