"""Email over SMTP: kept connections, and outcomes that say what the server really promised.

Only within DATA can it be unclear whether a mail was taken. Whatever goes wrong before it has
certainly not been sent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib
import structlog
from aiosmtplib.errors import (
    SMTPConnectError,
    SMTPDataError,
    SMTPException,
    SMTPResponseException,
)
from msgspec import Struct

from clm_common.errors import Unavailable
from clm_common.instant import SECOND
from clm_engagement.channels import mime
from clm_engagement.channels.port import (
    Accepted,
    Channel,
    Deferred,
    Letter,
    Outcome,
    Part,
    Refused,
    Sender,
    Unclear,
)
from clm_engagement.core.contact import Contact
from clm_engagement.settings import Settings

log = structlog.get_logger()

MAX_MAILS: Final = 100
"""Mails over one connection before it is closed politely."""

MAX_IDLE: Final = 20.0
"""Seconds after which an idle connection is not trusted any more."""

_UNSUBSCRIBE: Final = frozenset({("link", "unsubscribe")})
_ENHANCED: Final = re.compile(r"\b[245]\.(\d{1,3})\.(\d{1,3})\b")
_STARTTLS: Final = {"auto": None, "required": True, "never": False}

_CLASS_BY_DETAIL: Final = {"1": "recipient", "3": "dns", "4": "dns", "6": "content", "7": "policy"}
_CLASS_BY_CODE: Final = {550: "recipient", 551: "recipient", 552: "mailbox_full", 553: "recipient"}


class _Server(Struct, frozen=True):
    """Where and how to connect."""

    host: str
    port: int | None
    user: str | None
    password: str | None
    tls: bool
    start_tls: bool | None


class _Line(Struct):
    """A connection, how often it was used and when last (the loop's clock)."""

    client: aiosmtplib.SMTP
    mails: int = 0
    used: float = 0.0


class Mailer:
    """Hands mails to one SMTP server over a few connections."""

    def __init__(self, settings: Settings) -> None:
        """Make a mailer; it connects when it has something to do."""
        self._server = _read(settings.smtp_url.get_secret_value())
        self._name, self._address = settings.sender
        self._timeout = settings.mail_timeout / SECOND
        self._idle: list[_Line] = []
        self._room = asyncio.Semaphore(settings.mail_connections)

    async def ready(self) -> None:
        """Return if a connection is open or can be opened now.

        Raises:
            Unavailable: the server cannot be reached or does not let us in.
        """
        async with self._room:
            self._idle.append(await self._line())

    async def send(self, letter: Letter) -> Outcome:
        """Hand one mail over, once."""
        try:
            mail = mime.compose(letter, name=self._name, address=self._address)
        except ValueError:
            return Refused("header")
        async with self._room:
            try:
                line = await self._line()
            except Unavailable as error:
                return Deferred(error.slug, tried=False)
            outcome = await self._talk(line.client, letter.address, mail)
            await self._put_back(line, sound=isinstance(outcome, Accepted))
            return outcome

    async def close(self) -> None:
        """Say goodbye on every connection."""
        for line in self._idle:
            await _quit(line.client)
        self._idle.clear()

    async def _talk(self, client: aiosmtplib.SMTP, address: str, mail: bytes) -> Outcome:
        needs_utf8 = not address.isascii()
        if needs_utf8 and not client.supports_extension("smtputf8"):
            return Refused("address_not_ascii")
        options = ["SMTPUTF8"] if needs_utf8 else None
        encoding = "utf-8" if needs_utf8 else "ascii"
        try:
            async with asyncio.timeout(self._timeout / 2):
                await client.mail(self._address, options=options, encoding=encoding)
                await client.rcpt(address, encoding=encoding)
        except SMTPResponseException as error:
            return _answer(error, sender=isinstance(error, aiosmtplib.SMTPSenderRefused))
        except (SMTPException, OSError, TimeoutError) as error:
            return Deferred(_slug(error), tried=False)
        return await self._data(client, mail)

    async def _data(self, client: aiosmtplib.SMTP, mail: bytes) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout / 2):
                await client.data(mail)
        except SMTPDataError as error:
            return _answer(error, sender=False)
        except (SMTPException, OSError, TimeoutError) as error:
            return Unclear(_slug(error))
        return Accepted()

    async def _line(self) -> _Line:
        """Take an idle connection that still answers, or open one."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            line = self._idle.pop()
            if line.client.is_connected and (now - line.used < MAX_IDLE or await _alive(line)):
                return line
            line.client.close()
        return await self._connect()

    async def _connect(self) -> _Line:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.tls,
            start_tls=server.start_tls,
            timeout=self._timeout,
        )
        try:
            async with asyncio.timeout(self._timeout):
                await client.connect()
                await client.ehlo()
        except (SMTPException, OSError, TimeoutError) as error:
            client.close()
            slug = "smtp.away" if isinstance(error, SMTPConnectError | OSError) else "smtp.refused"
            raise Unavailable(
                slug, f"the mail server {server.host} does not let us in: {_slug(error)}"
            ) from error
        log.debug("smtp.connected", host=server.host)
        return _Line(client, used=asyncio.get_running_loop().time())

    async def _put_back(self, line: _Line, *, sound: bool) -> None:
        line.mails += 1
        line.used = asyncio.get_running_loop().time()
        if line.mails >= MAX_MAILS:
            await _quit(line.client)
        elif sound or await _alive(line):
            self._idle.append(line)
        else:
            line.client.close()


async def _alive(line: _Line) -> bool:
    """Ask a connection whether it is ready for a new mail."""
    try:
        async with asyncio.timeout(5):
            await line.client.rset()
    except (SMTPException, OSError, TimeoutError):
        return False
    return True


async def _quit(client: aiosmtplib.SMTP) -> None:
    try:
        async with asyncio.timeout(5):
            await client.quit()
    except (SMTPException, OSError, TimeoutError):
        client.close()


def _answer(error: SMTPResponseException, *, sender: bool) -> Outcome:
    """Give the outcome of a reply that is no success.

    A 5xx about our own sender address is the operator's to mend, not this recipient's fault: it is
    tried again until the live window ends.
    """
    code = f"{error.code}"
    if 200 <= error.code < 300:  # noqa: PLR2004 - SMTP's reply classes
        return Accepted()
    if sender or 400 <= error.code < 500 or error.code < 0:  # noqa: PLR2004 - SMTP's reply classes
        return Deferred(f"smtp.{code}", tried=True)
    return Refused(refusal_class(error.code, error.message), code)


def refusal_class(code: int, text: str) -> str:
    """Class a 5xx reply: recipient, mailbox_full, dns, content, policy or other.

    Source: RFC 3463 for the enhanced code, RFC 5321 4.2.3 for the plain one.
    """
    if match := _ENHANCED.search(text):
        subject, detail = match[1], match[2]
        if subject == "2":
            return "mailbox_full" if detail == "2" else "recipient"
        return _CLASS_BY_DETAIL.get(subject, "other")
    return _CLASS_BY_CODE.get(code, "other")


def _slug(error: BaseException) -> str:
    """Name an error without its text, which may hold an address."""
    return type(error).__name__


def _read(url: str) -> _Server:
    parts = urlsplit(url)
    start_tls = parse_qs(parts.query).get("starttls", ["auto"])[-1]
    tls = parts.scheme == "smtps"
    return _Server(
        host=parts.hostname or "",
        port=parts.port,
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tls,
        start_tls=False if tls else _STARTTLS[start_tls],
    )


class _Email:
    """The channel `email`."""

    key = "email"
    parts = (
        Part(mime.SUBJECT),
        Part(mime.HTML, escaped=True, must_read=_UNSUBSCRIBE),
        Part(mime.TEXT, must_read=_UNSUBSCRIBE),
    )

    def address(self, contact: Contact) -> str | None:
        """Give the contact's email address."""
        return contact.email

    @asynccontextmanager
    async def open(self, settings: Settings) -> AsyncGenerator[Sender]:
        """Open the mailer, and say goodbye at the end."""
        mailer = Mailer(settings)
        try:
            yield mailer
        finally:
            await mailer.close()


channel: Channel = _Email()
