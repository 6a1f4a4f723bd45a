"""CloudEvents 1.0 in Kafka's binary mode: attributes as `ce_*` headers, the value as the data.

Written by hand because it is on the hot path; tests hold it against the `cloudevents` SDK.
Source: CloudEvents 1.0.2 and its Kafka protocol binding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from clm_common.errors import InvalidMessage

Header = tuple[str, bytes]

SPECVERSION: Final[Header] = ("ce_specversion", b"1.0")
JSON: Final[Header] = ("content-type", b"application/json")

_REQUIRED: Final = ("ce_specversion", "ce_id", "ce_source", "ce_type")


class Envelope(Struct, frozen=True):
    """The attributes of one event.

    Attributes:
        id: unique within `source`.
        source: a URI reference that names who made it.
        type: `clm.<family>.<kind>.v<n>`.
        time: the event's instant, RFC 3339, or None.
        subject: what it is about (a profile id, a customer's key), or None.
        extensions: further attributes by name (lower-case letters and digits).
    """

    id: str
    source: str
    type: str
    time: str | None = None
    subject: str | None = None
    extensions: tuple[tuple[str, str], ...] = ()

    def headers(self) -> list[Header]:
        """Write the attributes as Kafka headers, JSON being the data's content type."""
        found = [
            SPECVERSION,
            ("ce_id", self.id.encode()),
            ("ce_source", self.source.encode()),
            ("ce_type", self.type.encode()),
            JSON,
        ]
        if self.time is not None:
            found.append(("ce_time", self.time.encode()))
        if self.subject is not None:
            found.append(("ce_subject", self.subject.encode()))
        found.extend((f"ce_{name}", value.encode()) for name, value in self.extensions)
        return found


def read(headers: Iterable[Header] | Sequence[Header]) -> Envelope:
    """Read the attributes out of a record's headers.

    Raises:
        InvalidMessage: a required attribute is missing, or a value is not UTF-8.
    """
    values = dict(headers)
    missing = [name for name in _REQUIRED if not values.get(name)]
    if missing:
        raise InvalidMessage(
            "envelope.incomplete", f"CloudEvents headers are missing: {', '.join(missing)}"
        )
    try:
        text = {name[3:]: value.decode() for name, value in values.items() if name[:3] == "ce_"}
    except UnicodeDecodeError as error:
        raise InvalidMessage(
            "envelope.encoding", f"a CloudEvents header is not UTF-8: {error}"
        ) from error
    if text.pop("specversion") != "1.0":
        raise InvalidMessage("envelope.version", "CloudEvents specversion must be 1.0")
    return Envelope(
        text.pop("id"),
        text.pop("source"),
        text.pop("type"),
        text.pop("time", None),
        text.pop("subject", None),
        tuple(sorted(text.items())),
    )
