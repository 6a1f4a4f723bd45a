"""The email channel against a real SMTP server."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import uuid4

import msgspec
import pytest
from pydantic import SecretStr

from clm_common.errors import Unavailable
from clm_common.instant import SECOND
from clm_engagement.channels.port import Accepted, Deferred, Letter, Refused, Sender, Unclear
from tests.support.engagement import NOW
from tests.support.engagement_world import mailing
from tests.support.smtp import HANG_UP, Mailbox, mailbox


@pytest.fixture
async def box() -> AsyncGenerator[Mailbox]:
    async with mailbox() as opened:
        yield opened


@pytest.fixture
async def email(box: Mailbox) -> AsyncGenerator[Sender]:
    async with mailing(box) as senders:
        yield senders["email"]


def letter(address: str = "ann@example.com", **parts: str) -> Letter:
    texts = {"subject": "Hi", "text": "Hello", "html": "<p>Hello</p>"} | parts
    return Letter(uuid4(), address, texts, "https://shop.example.com/u/x", NOW)


async def test_a_mail_arrives_as_it_was_written(box: Mailbox, email: Sender) -> None:
    it = letter(text="Hello\n.\nÄnn\n", subject="Grüße")

    outcome = await email.send(it)

    assert outcome == Accepted()
    (mail,) = box.mails
    assert mail["Subject"] == "Grüße"
    plain = mail.get_body(("plain",))
    assert plain is not None
    assert plain.get_content().splitlines() == ["Hello", ".", "Änn"]


async def test_connections_are_kept(box: Mailbox, email: Sender) -> None:
    await email.ready()
    for _ in range(10):
        assert await email.send(letter()) == Accepted()

    assert box.connections == 1


async def test_a_connection_the_server_has_dropped_is_replaced(box: Mailbox, email: Sender) -> None:
    await email.send(letter())
    box.drop_connections()

    outcomes = [await email.send(letter()) for _ in range(2)]

    assert outcomes[-1] == Accepted()
    assert outcomes[0] in {Accepted(), Deferred("SMTPServerDisconnected", tried=False)}


@pytest.mark.parametrize("answer", ["451 try later", "421 closing", "450 4.7.1 slow down"])
async def test_later_is_deferred_at_every_step(box: Mailbox, email: Sender, answer: str) -> None:
    code = answer[:3]
    for step in (box.to_mail, box.to_rcpt, box.to_data):
        step.append(answer)

        assert await email.send(letter()) == Deferred(f"smtp.{code}", tried=True)

    assert await email.send(letter()) == Accepted()
    assert len(box.mails) == 1


async def test_a_recipient_nobody_knows_is_refused(box: Mailbox, email: Sender) -> None:
    box.to_rcpt.append("550 5.1.1 no such user")

    assert await email.send(letter()) == Refused("recipient", "550")
    assert await email.send(letter()) == Accepted()


async def test_a_mail_the_server_does_not_like_is_refused(box: Mailbox, email: Sender) -> None:
    box.to_data.append("554 5.7.1 looks like spam")

    assert await email.send(letter()) == Refused("policy", "554")


async def test_our_own_address_being_refused_is_not_the_recipients_fault(
    box: Mailbox, email: Sender
) -> None:
    box.to_mail.append("550 5.7.1 sender not allowed")

    assert await email.send(letter()) == Deferred("smtp.550", tried=True)


async def test_an_answer_lost_after_the_data_is_unclear(box: Mailbox, email: Sender) -> None:
    box.to_data.append(HANG_UP)

    assert isinstance(await email.send(letter()), Unclear)
    assert len(box.seen) == 1
    assert await email.send(letter()) == Accepted()


async def test_an_answer_that_takes_too_long_is_unclear(box: Mailbox) -> None:
    box.delay = 2.0
    async with mailing(box, mail_timeout=1 * SECOND) as senders:
        assert isinstance(await senders["email"].send(letter()), Unclear)


async def test_a_server_that_is_away_takes_nothing(box: Mailbox) -> None:
    nowhere = SecretStr("smtp://127.0.0.1:1?starttls=never")
    async with mailing(box, smtp_url=nowhere) as senders:
        with pytest.raises(Unavailable):
            await senders["email"].ready()

        assert await senders["email"].send(letter()) == Deferred("smtp.away", tried=False)


async def test_a_server_without_tls_is_refused_where_tls_is_required(box: Mailbox) -> None:
    url = SecretStr(box.url.replace("never", "required"))
    async with mailing(box, smtp_url=url) as senders:
        with pytest.raises(Unavailable):
            await senders["email"].ready()

    assert box.seen == []


async def test_an_address_that_is_not_ascii_is_sent_as_it_is(box: Mailbox, email: Sender) -> None:
    assert await email.send(letter("ä@example.de")) == Accepted()

    assert box.envelopes == [["ä@example.de"]]
    assert "To: ä@example.de\r\n".encode() in box.raw[0]


async def test_a_header_cannot_be_injected(box: Mailbox, email: Sender) -> None:
    evil = letter("ann@example.com\r\nBcc: bob@example.com")

    assert await email.send(evil) == Refused("header")
    assert await email.send(msgspec.structs.replace(evil, address="ann@example.com")) == Accepted()
    assert "Bcc" not in box.mails[0]
