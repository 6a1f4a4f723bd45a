from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clm_engagement.channels.email import refusal_class
from clm_engagement.channels.mime import compose
from clm_engagement.channels.port import Letter
from tests.support.engagement import NOW

LETTER = Letter(
    id=UUID(int=7),
    address="ann@example.com",
    parts={"subject": "Hi", "text": "Hello", "html": "<p>Hello</p>"},
    unsubscribe="https://shop.example.com/u/" + "x" * 90,
    at=NOW,
)
_lines = st.text(st.characters(exclude_categories=["Cs"]))


def composed(
    letter: Letter = LETTER, *, name: str = "Läden & Söhne", address: str = "a@b.de"
) -> bytes:
    return compose(letter, name=name, address=address)


def parsed(raw: bytes) -> EmailMessage:
    mail = message_from_bytes(raw, policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


def test_a_mail_has_what_mailbox_providers_ask_for() -> None:
    mail = parsed(composed())

    assert mail["From"] == "Läden & Söhne <a@b.de>"
    assert mail["To"] == "ann@example.com"
    assert mail["Message-ID"] == "<00000000-0000-0000-0000-000000000007@b.de>"
    assert mail["Date"].datetime.timestamp() == NOW // 1_000_000
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


def test_the_unsubscribe_link_stands_in_the_header_as_it_is() -> None:
    header = composed().partition(b"\r\n\r\n")[0]

    assert f"List-Unsubscribe: <{LETTER.unsubscribe}>".encode() in header.replace(b"\r\n ", b" ")


def test_a_mail_is_the_same_at_every_try() -> None:
    assert composed() == composed()


@settings(deadline=None)
@given(subject=_lines, text=_lines, html=_lines)
def test_whatever_is_written_comes_out_of_a_parser_as_it_went_in(
    subject: str, text: str, html: str
) -> None:
    letter = msgspec.structs.replace(LETTER, parts={"subject": subject, "text": text, "html": html})

    raw = composed(letter)

    mail = parsed(raw)
    assert {*mail.keys()} == {*parsed(composed()).keys()}
    plain, rich = mail.iter_parts()
    assert isinstance(plain, EmailMessage)
    assert isinstance(rich, EmailMessage)
    assert plain.get_content().splitlines() == text.splitlines() or not text.splitlines()
    assert rich.get_content().splitlines() == html.splitlines() or not html.splitlines()
    assert not mail.defects


@settings(deadline=None)
@given(subject=_lines, text=_lines)
def test_every_line_ends_in_crlf_and_none_is_too_long(subject: str, text: str) -> None:
    parts = {"subject": subject, "text": text, "html": text}

    raw = composed(msgspec.structs.replace(LETTER, parts=parts))

    assert raw.count(b"\n") == raw.count(b"\r\n") == raw.count(b"\r")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert raw.isascii()


@settings(deadline=None)
@given(_lines)
def test_a_subject_cannot_add_a_header(evil: str) -> None:
    parts = {**LETTER.parts, "subject": f"Hi\r\nBcc: {evil}"}

    mail = parsed(composed(msgspec.structs.replace(LETTER, parts=parts)))

    assert "Bcc" not in mail


@pytest.mark.parametrize("evil", ["a@b.de\r\nBcc: c@d.de", "a\nb@c.de", "a@b.de\x00"])
def test_an_address_with_a_control_character_is_refused(evil: str) -> None:
    with pytest.raises(ValueError, match="control"):
        composed(msgspec.structs.replace(LETTER, address=evil))
    with pytest.raises(ValueError, match="control"):
        composed(name=evil)


@pytest.mark.parametrize(
    ("code", "text", "kind"),
    [
        (550, "5.1.1 no such user", "recipient"),
        (550, "5.7.1 listed at blocklist", "policy"),
        (552, "5.2.2 over quota", "mailbox_full"),
        (552, "too much mail data", "mailbox_full"),
        (554, "5.6.0 bad content", "content"),
        (550, "User unknown", "recipient"),
        (554, "Transaction failed", "other"),
        (550, "5.4.4 no route", "dns"),
    ],
)
def test_a_refusal_is_classed_by_what_the_server_says(code: int, text: str, kind: str) -> None:
    assert refusal_class(code, text) == kind
