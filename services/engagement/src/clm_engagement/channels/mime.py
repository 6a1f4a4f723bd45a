"""A mail as bytes, for CRLF transport.

The standard library encodes what needs encoding (names, subjects, dates, quoted-printable); the
lines are joined here. Its own generator takes more than twice as long, and under its modern policy
writes a long `List-Unsubscribe` as RFC 2047 words, which no mailbox provider understands. Tests
hold every mail against its parser. No control character ever reaches a header.
"""

from __future__ import annotations

import binascii
import re
from email.header import Header
from email.utils import format_datetime, formataddr
from typing import Final

from clm_common.instant import to_datetime
from clm_engagement.channels.port import Letter

HTML: Final = "html"
SUBJECT: Final = "subject"
TEXT: Final = "text"

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SPACES: Final = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_MAX_LINE: Final = 76
_END: Final = "\r\n"


def message_id(letter: Letter, domain: str) -> str:
    """Give the Message-ID: the same at every try, on our domain."""
    return f"<{letter.id}@{domain}>"


def compose(letter: Letter, *, name: str, address: str) -> bytes:
    """Write a mail with a text and an HTML part.

    Args:
        letter: the rendered message.
        name: the sender's name, may be empty.
        address: the sender's address.

    Raises:
        ValueError: an address, name or link has a control character in it.
    """
    boundary = f"clm-{letter.id.hex}"
    lines = (
        f"From: {formataddr((_checked(name), _checked(address)))}",
        f"To: {_checked(letter.address)}",
        f"Subject: {subject(letter.parts[SUBJECT])}",
        f"Date: {format_datetime(to_datetime(letter.at))}",
        f"Message-ID: {message_id(letter, address.rpartition('@')[2])}",
        f"List-Unsubscribe: <{_checked(letter.unsubscribe)}>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/alternative; boundary="{boundary}"',
        "",
        f"--{boundary}",
        *_part(letter.parts[TEXT], "plain"),
        f"--{boundary}",
        *_part(letter.parts[HTML], "html"),
        f"--{boundary}--",
        "",
    )
    return _END.join(lines).encode()


def subject(text: str) -> str:
    """Write a subject: one line, RFC 2047 where it is not ASCII, folded."""
    line = _SPACES.sub(" ", text).strip()
    charset = "us-ascii" if line.isascii() else "utf-8"
    return Header(line, charset, header_name="Subject").encode(linesep=_END)


def _checked(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("a header value has a control character in it")
    return value


def _part(text: str, subtype: str) -> list[str]:
    """Write one body: as it is where it is ASCII in short lines, else quoted-printable."""
    lines = text.splitlines()
    if text.isascii() and all(len(line) <= _MAX_LINE for line in lines):
        return [*_part_head(subtype, "us-ascii", "7bit"), *lines, ""]
    raw = "\n".join([*lines, ""]).encode("utf-8", "replace")
    quoted = binascii.b2a_qp(raw, quotetabs=False, istext=True).decode("ascii")
    return [*_part_head(subtype, "utf-8", "quoted-printable"), *quoted.split("\n")]


def _part_head(subtype: str, charset: str, encoding: str) -> tuple[str, str, str]:
    return (
        f'Content-Type: text/{subtype}; charset="{charset}"',
        f"Content-Transfer-Encoding: {encoding}",
        "",
    )
