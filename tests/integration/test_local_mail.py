"""The mail catcher: takes mail as SMTP clients send it, keeps it, and shows it without harm."""

from __future__ import annotations

import smtplib
from collections.abc import AsyncGenerator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx
import pytest

from clm_local import child
from clm_local.mail import process
from clm_local.mail.content import take_apart
from clm_local.mail.store import Store
from clm_local.ports import HOST, free_ports


class Catcher:
    """A running mail catcher."""

    def __init__(self, home: Path) -> None:
        self.smtp_port, self.http_port = free_ports(2)
        self._child = process.prepare(
            home / "mail",
            smtp_port=self.smtp_port,
            http_port=self.http_port,
            log_path=home / "mail.log",
        )
        self._running: child.Running | None = None

    async def start(self) -> None:
        self._running = child.start(self._child)
        await self._running.until_ready()

    async def stop(self) -> None:
        if self._running:
            await self._running.stop()

    def send(self, message: EmailMessage, *to: str) -> None:
        with smtplib.SMTP(HOST, self.smtp_port, timeout=10) as client:
            client.send_message(message, to_addrs=list(to) or None)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"http://{HOST}:{self.http_port}{path}", headers=headers)

    def clear(self) -> object:
        return httpx.delete(f"http://{HOST}:{self.http_port}/api/messages").json()

    def messages(self, query: str = "") -> list[dict[str, Any]]:  # Any: JSON
        return list(self.get(f"/api/messages{query}").json()["messages"])


@pytest.fixture
async def catcher(tmp_path: Path) -> AsyncGenerator[Catcher]:
    (tmp_path / "mail").mkdir()
    it = Catcher(tmp_path)
    await it.start()
    yield it
    await it.stop()


def welcome(subject: str = "Welcome, Zoë", html: str = "<p>Hello</p>") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Shop <shop@example.com>"
    message["To"] = "Zoë <zoe@example.com>"
    message["Subject"] = subject
    message.set_content("Hello in text")
    message.add_alternative(html, subtype="html")
    return message


async def test_a_mail_is_kept_with_its_envelope_text_and_html(catcher: Catcher) -> None:
    catcher.send(welcome(), "real-recipient@example.com")

    (summary,) = catcher.messages()
    detail = catcher.get(f"/api/messages/{summary['id']}").json()

    assert summary["subject"] == "Welcome, Zoë"
    assert summary["recipients"] == ["real-recipient@example.com"]
    assert detail["text"].strip() == "Hello in text"
    assert detail["html"].strip() == "<p>Hello</p>"
    assert ["To", "Zoë <zoe@example.com>"] in detail["headers"]


async def test_the_list_is_newest_first_and_can_be_narrowed_to_a_recipient(
    catcher: Catcher,
) -> None:
    for number in range(3):
        catcher.send(welcome(f"Mail {number}"), f"person{number}@example.com")

    subjects = [it["subject"] for it in catcher.messages()]
    narrowed = [it["subject"] for it in catcher.messages("?to=PERSON1@")]
    limited = catcher.get("/api/messages?limit=1").json()

    assert subjects == ["Mail 2", "Mail 1", "Mail 0"]
    assert narrowed == ["Mail 1"]
    assert (limited["total"], len(limited["messages"])) == (3, 1)


async def test_mails_survive_a_restart_until_they_are_deleted(catcher: Catcher) -> None:
    catcher.send(welcome())
    await catcher.stop()
    await catcher.start()
    kept = catcher.messages()

    deleted = catcher.clear()

    assert len(kept) == 1
    assert deleted == {"deleted": 1}
    assert catcher.messages() == []
    assert catcher.get(f"/messages/{kept[0]['id']}").status_code == 404


async def test_a_hostile_mail_is_shown_without_harm(catcher: Catcher) -> None:
    hostile = "<script>alert(1)</script>"
    catcher.send(welcome(subject=hostile, html=f"<head></head>{hostile}<a href='/x'>go</a>"))
    (summary,) = catcher.messages()

    listing = catcher.get("/")
    page = catcher.get(f"/messages/{summary['id']}")
    body = catcher.get(f"/messages/{summary['id']}/html")

    assert hostile not in listing.text
    assert hostile not in page.text
    assert "sandbox=" in page.text
    assert "allow-scripts" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert body.headers["content-security-policy"].startswith("sandbox ")
    assert "allow-scripts" not in body.headers["content-security-policy"]
    assert '<base target="_blank">' in body.text


async def test_another_host_name_is_refused_so_no_web_page_can_reach_the_mails(
    catcher: Catcher,
) -> None:
    assert catcher.get("/api/messages", host="evil.example").status_code == 400


async def test_embedded_pictures_are_served_and_other_parts_only_downloaded(
    catcher: Catcher,
) -> None:
    message = welcome(html='<img src="cid:logo@shop">')
    payload = message.get_payload()
    assert isinstance(payload, list)
    html = payload[1]
    assert isinstance(html, EmailMessage)
    html.add_related(b"\x89PNG", "image", "png", cid="<logo@shop>")
    message.add_attachment(b"<script>", "text", "html", filename="page.html")
    catcher.send(message)
    (summary,) = catcher.messages()
    detail = catcher.get(f"/api/messages/{summary['id']}").json()
    numbers = {part["content_type"]: part["number"] for part in detail["parts"]}
    base = f"/messages/{summary['id']}/parts/"

    picture = catcher.get(f"{base}{numbers['image/png']}")
    page = catcher.get(f"{base}{numbers['text/html']}")
    body = catcher.get(f"/messages/{summary['id']}/html")

    assert picture.content == b"\x89PNG"
    assert page.headers["content-type"] == "application/octet-stream"
    assert page.headers["content-disposition"] == "attachment"
    assert f"{base}{numbers['image/png']}" in body.text


async def test_the_source_is_the_mail_as_it_came(catcher: Catcher) -> None:
    catcher.send(welcome(), "zoe@example.com")
    (summary,) = catcher.messages()

    source = catcher.get(f"/messages/{summary['id']}/source")

    assert source.headers["content-type"].startswith("text/plain")
    assert "X-Envelope-To: zoe@example.com" in source.text
    assert "Content-Type: multipart/alternative" in source.text


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, limit=3)
    names = [store.add("a@example.com", ["b@example.com"], b"\r\n") for _ in range(5)]

    kept = [it.id for it in Store(tmp_path, limit=3).newest_first()]

    assert kept == names[:1:-1]
    assert len(list(tmp_path.glob("*.eml"))) == 3


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"no header at all",
        b"Subject: =?nonsense?b?%%%?=\r\n\r\nbody",
        b"Content-Type: text/plain; charset=klingon\r\n\r\n\xff\xfe",
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n",
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!",
    ],
)
def test_a_broken_mail_is_kept_and_shown_as_far_as_it_goes(tmp_path: Path, source: bytes) -> None:
    store = Store(tmp_path)

    name = store.add("a@example.com\r\nX-Evil: 1", ["b@example.com"], source)
    kept = store.source(name)

    assert kept is not None
    assert kept.endswith(source)
    assert b"\nX-Evil" not in kept
    assert take_apart(kept).headers[0] == ("X-Envelope-From", "a@example.com X-Evil: 1")
    assert [it.id for it in Store(tmp_path).newest_first()] == [name]
