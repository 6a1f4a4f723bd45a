"""What ingest has to make of a body of the tracking API, said once more: slowly, with `json` alone.

It shares nothing with ingest but the rules of its reference: it knows no fast path, reads every
event by itself, and finds the bytes of an event by reading the body member by member.
"""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

Json = Any  # Any: JSON

TYPES: Final = ("track", "identify", "page", "screen", "group", "alias")
_LONGEST: Final = 256
_IDS: Final = ("messageId", "userId", "anonymousId", "previousId")
_SPACES: Final = " \t\r\n"


@dataclass(frozen=True)
class Landed:
    """An event that is published.

    Attributes:
        customer: whose it is.
        message_id: its id; None if ingest makes one up.
        fields: what it says, without the write key.
        raw: its bytes, if they are published as they were sent.
    """

    customer: str
    message_id: str | None
    fields: dict[str, Json]
    raw: bytes | None


@dataclass(frozen=True)
class Refused:
    """An event that is quarantined.

    Attributes:
        index: its place.
        code: why.
        message_id: its id, if it has a usable one.
    """

    index: int
    code: str
    message_id: str | None


@dataclass
class Expected:
    """What becomes of a request.

    Attributes:
        status: of the answer.
        code: of the error, if it is one.
        landed: the events that are published, in order.
        refused: the others.
    """

    status: int = 200
    code: str | None = None
    landed: list[Landed] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class NotJson(Exception):
    """The text is no JSON (RFC 8259), or not Unicode."""


def of_single(body: bytes, kind: str, *, event_bytes: int) -> Expected:
    """Say what becomes of the body of a single call."""
    body = body.removeprefix(codecs.BOM_UTF8)
    if not isinstance(_parsed(body), dict):
        return _unopened("body.invalid")
    verdict = _judge(0, body, kind, event_bytes)
    if isinstance(verdict, Landed):
        return Expected(landed=[verdict])
    return Expected(413 if "too_large" in verdict.code else 400, verdict.code, refused=[verdict])


def of_batch(body: bytes, *, event_bytes: int, events: int) -> Expected:
    """Say what becomes of the body of a batch."""
    body = body.removeprefix(codecs.BOM_UTF8)
    value = read(body)
    if not isinstance(value, dict) or not isinstance(value.get("batch"), list):
        return _unopened("body.invalid")
    if len(value["batch"]) > events:
        return Expected(413, "batch.too_long")
    found = Expected()
    for index, raw in enumerate(events_in(body)):
        verdict = _judge(index, raw, None, event_bytes)
        if isinstance(verdict, Landed):
            found.landed.append(verdict)
        else:
            found.refused.append(verdict)
    return found


def _unopened(code: str) -> Expected:
    """Say that a body is refused as a whole, and kept."""
    return Expected(400, code, refused=[Refused(0, code, None)])


def read(text: bytes) -> Json:
    """Read JSON strictly.

    Raises:
        NotJson: it is none.
    """
    value = _parsed(text)
    if not _is_unicode(value):
        raise NotJson("it holds half a surrogate pair")
    return value


def _parsed(text: bytes) -> Json:
    """Read what is JSON by its grammar, which allows half a surrogate pair."""
    try:
        return json.loads(text.decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from None


def _is_unicode(value: Json) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def events_in(body: bytes) -> list[bytes]:
    """Give the bytes of each event of a batch that is JSON; of several lists the last counts."""
    text, decoder = body.decode(), json.JSONDecoder()
    place, found = _skip(text, 0) + 1, list[bytes]()
    while text[_skip(text, place)] != "}":
        name, place = decoder.raw_decode(text, _skip(text, place))
        begin = _skip(text, _skip(text, place) + 1)
        _, place = decoder.raw_decode(text, begin)
        if name == "batch":
            found = _items(text, begin, decoder)
        place = _skip(text, place)
        place += text[place] == ","
    return found


def _items(text: str, begin: int, decoder: json.JSONDecoder) -> list[bytes]:
    place, found = _skip(text, begin + 1), list[bytes]()
    while text[place] != "]":
        _, end = decoder.raw_decode(text, place)
        found.append(text[place:end].encode())
        place = _skip(text, end)
        if text[place] == ",":
            place = _skip(text, place + 1)
    return found


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in _SPACES:
        place += 1
    return place


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _judge(index: int, raw: bytes, kind: str | None, most: int) -> Landed | Refused:
    event = _parsed(raw)
    is_whole = _is_unicode(event)
    if not is_whole:
        if len(raw) > most:
            return Refused(index, "touchpoint.too_large", None)
        event = _whole(event)
        ids = [event.get(name) for name in _IDS] if isinstance(event, dict) else []
        if any(isinstance(it, str) and "\ufffd" in it for it in ids):
            return Refused(index, "touchpoint.malformed", None)
    message_id, usable = _text(event.get("messageId") if isinstance(event, dict) else None)
    known = message_id if usable else None
    if len(raw) > most:
        return Refused(index, "touchpoint.too_large", known)
    if not isinstance(event, dict):
        return Refused(index, "touchpoint.not_an_object", None)
    user, user_usable = _text(event.get("userId"))
    anonymous, anonymous_usable = _text(event.get("anonymousId"))
    said, name = kind or event.get("type"), event.get("event")
    named = isinstance(name, str) and len(name) <= _LONGEST and "\0" not in name
    for wrong, code in (
        (not usable, "id_invalid"),
        (said not in TYPES, "type_unknown"),
        (not user_usable or not anonymous_usable, "id_invalid"),
        (name is not None and not named, "event_invalid"),
        (user is None and anonymous is None, "identity_missing"),
        (said == "track" and not name, "event_missing"),
    ):
        if wrong:
            return Refused(index, f"touchpoint.{code}", known)
    as_sent = isinstance(event.get("messageId"), str) and message_id and event.get("type") == said
    fields = {key: value for key, value in event.items() if key != "writeKey"} | {"type": said}
    untouched = is_whole and as_sent and event.get("writeKey") is None
    return Landed(user or anonymous or "", message_id, fields, raw if untouched else None)


def _whole(value: Json) -> Json:
    """Replace halves of surrogate pairs, as Python's own decoder of UTF-16 does."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(it) for it in value]
    if isinstance(value, dict):
        return {str(_whole(name)): _whole(it) for name, it in value.items()}
    return value


def _text(value: Json) -> tuple[str | None, bool]:
    """Give an id as text, and whether it can be one."""
    if value is None or value == "":
        return None, True
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None, False
    if isinstance(value, float) and value in {float("inf"), float("-inf")}:
        return None, False
    whole = isinstance(value, float) and value.is_integer()
    text = str(int(value) if whole else value)
    return text, len(text) <= _LONGEST and "\0" not in text
