"""The caught mails: one file each in a directory, so a restart keeps them; the newest N are kept.

A file is the mail as it came, below two lines of ours that hold the SMTP envelope (whom it was
really for, which the headers need not say).
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.parser import BytesHeaderParser
from pathlib import Path

LIMIT = 5000
SUFFIX = ".eml"
IDENTIFIER = re.compile(r"\d{16}-[0-9a-f]{8}")
FROM, TO = "X-Envelope-From", "X-Envelope-To"


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of the list; `received_at` in microseconds since the Unix epoch."""

    id: str
    received_at: int
    sender: str
    recipients: tuple[str, ...]
    subject: str
    size: int


class Store:
    """A directory of mails, and a summary of each in memory."""

    def __init__(self, place: Path, limit: int = LIMIT) -> None:
        self._place = place
        self._limit = limit
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        names = (path.stem for path in place.glob(f"*{SUFFIX}"))
        known = sorted(name for name in names if IDENTIFIER.fullmatch(name))
        self._summaries = {name: self._summarise(name) for name in known}
        self._shrink()

    def add(self, sender: str, recipients: list[str], content: bytes) -> str:
        """Keep a mail and give its id; when this returns it is in its file."""
        name = f"{time.time_ns() // 1000:016d}-{secrets.token_hex(4)}"
        envelope = f"{FROM}: {_line(sender)}\r\n{TO}: {_line(', '.join(recipients))}\r\n"
        draft = self._place / f".{name}"
        draft.write_bytes(envelope.encode("utf-8", "surrogateescape") + content)
        draft.chmod(0o600)
        draft.replace(self._path(name))
        self._summaries[name] = self._summarise(name)
        self._shrink()
        return name

    def newest_first(self, to: str = "") -> list[Summary]:
        """List the mails; `to` keeps those for recipients that contain it."""
        wanted = to.lower()
        return [
            summary
            for summary in reversed(self._summaries.values())
            if not wanted or any(wanted in address.lower() for address in summary.recipients)
        ]

    def summary(self, name: str) -> Summary | None:
        """Give one line of the list."""
        return self._summaries.get(name)

    def source(self, name: str) -> bytes | None:
        """Give a mail as it came, with the envelope above; None if there is none."""
        return self._path(name).read_bytes() if name in self._summaries else None

    def clear(self) -> int:
        """Throw all mails away, and tell how many."""
        count = len(self._summaries)
        for name in list(self._summaries):
            self._remove(name)
        return count

    def _summarise(self, name: str) -> Summary:
        path = self._path(name)
        with path.open("rb") as file:
            headers = BytesHeaderParser().parse(file)
        return Summary(
            id=name,
            received_at=int(name[:16]),
            sender=decoded(headers.get("From") or headers.get(FROM)),
            recipients=tuple(decoded(headers.get(TO)).split(", ")),
            subject=decoded(headers.get("Subject")),
            size=path.stat().st_size,
        )

    def _shrink(self) -> None:
        while len(self._summaries) > self._limit:
            self._remove(next(iter(self._summaries)))

    def _remove(self, name: str) -> None:
        del self._summaries[name]
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._place / f"{name}{SUFFIX}"


def decoded(value: object) -> str:
    """Make a raw header readable; a broken one is given as it is."""
    raw = "" if value is None else str(value)
    try:
        return str(make_header(decode_header(raw)))
    except (HeaderParseError, LookupError, ValueError):
        return raw


def _line(value: str) -> str:
    """Keep a value to one header line."""
    return re.sub(r"[\r\n]+", " ", value)
