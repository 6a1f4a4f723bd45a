"""One mail taken apart: headers, text, HTML and other parts; broken mails give what they can."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser

from clm_local.mail.store import decoded


@dataclass(frozen=True, slots=True)
class Part:
    """A part that is neither the text nor the HTML: an attachment or an embedded picture."""

    number: int
    name: str
    content_type: str
    content_id: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Content:
    """What a mail holds."""

    headers: tuple[tuple[str, str], ...]
    text: str | None
    html: str | None
    parts: tuple[Part, ...]

    def html_with_pictures(self, base: str) -> str:
        """Give the HTML with its `cid:` pictures pointing to `base` + part number."""
        html = self.html or ""
        for part in self.parts:
            if part.content_id:
                html = re.sub(rf"\bcid:{re.escape(part.content_id)}", f"{base}{part.number}", html)
        return html


def take_apart(source: bytes) -> Content:
    """Take a mail apart."""
    message = BytesParser().parsebytes(source)
    bodies: dict[str, str] = {}
    parts: list[Part] = []
    for number, part in enumerate(message.walk()):
        kind = part.get_content_type()
        if part.is_multipart():
            continue
        if kind in {"text/plain", "text/html"} and kind not in bodies and not part.get_filename():
            bodies[kind] = _text(part)
        else:
            parts.append(_part(number, part))
    return Content(
        headers=tuple((name, decoded(value)) for name, value in message.items()),
        text=bodies.get("text/plain"),
        html=bodies.get("text/html"),
        parts=tuple(parts),
    )


def _part(number: int, part: Message) -> Part:
    return Part(
        number=number,
        name=decoded(part.get_filename()) or f"part-{number}",
        content_type=part.get_content_type(),
        content_id=str(part.get("Content-ID") or "").strip().strip("<>"),
        content=_payload(part),
    )


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _text(part: Message) -> str:
    charset = part.get_content_charset() or "utf-8"
    try:
        return _payload(part).decode(charset, "replace")
    except LookupError:
        return _payload(part).decode("utf-8", "replace")
