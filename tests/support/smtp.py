"""A real SMTP server that a test scripts: what it answers, and what it has taken."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

OK = "250 OK"
HANG_UP = "hang up"
"""In a script: take the data, then close the connection without an answer."""


class Mailbox:
    """Takes mails; its scripts are used up one answer per command, then everything is fine."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.seen: list[EmailMessage] = []
        self.raw: list[bytes] = []
        self.envelopes: list[list[str]] = []
        self.connections = 0
        self.to_data: deque[str] = deque()
        self.to_mail: deque[str] = deque()
        self.to_rcpt: deque[str] = deque()
        self.delay = 0.0
        self.port = 0
        self._arrived = asyncio.Event()
        self._protocols: list[SMTP] = []

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}?starttls=never"

    @property
    def recipients(self) -> list[str]:
        return [str(mail["To"]) for mail in self.mails]

    async def until(self, count: int, *, seconds: float = 20) -> None:
        """Wait for so many mails."""
        async with asyncio.timeout(seconds):
            while len(self.mails) < count:
                self._arrived.clear()
                await self._arrived.wait()

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's own
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[Any]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.to_mail.popleft() if self.to_mail else OK

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's own
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[Any],
    ) -> str:
        answer = self.to_rcpt.popleft() if self.to_rcpt else OK
        if answer == OK:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's own
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.seen.append(mail)
        self.raw.append(envelope.content)
        self.envelopes.append(list(envelope.rcpt_tos))
        if self.delay:
            await asyncio.sleep(self.delay)
        answer = self.to_data.popleft() if self.to_data else OK
        if answer == HANG_UP:
            _cut(server)
            return OK
        if answer == OK:
            self.mails.append(mail)
            self._arrived.set()
        return answer

    def protocol(self) -> SMTP:
        """Serve one more connection."""
        self.connections += 1
        made = SMTP(self, enable_SMTPUTF8=True, hostname="test.invalid")
        self._protocols.append(made)
        return made

    def drop_connections(self) -> None:
        """Close every connection from this side."""
        for each in self._protocols:
            _cut(each)


def _cut(server: SMTP) -> None:
    if isinstance(server.transport, asyncio.Transport):
        server.transport.abort()


@asynccontextmanager
async def mailbox(port: int = 0) -> AsyncGenerator[Mailbox]:
    """Serve a mailbox on a free (or the given) port."""
    box = Mailbox()
    server = await asyncio.get_running_loop().create_server(box.protocol, "127.0.0.1", port)
    box.port = server.sockets[0].getsockname()[1]
    async with server:
        yield box
        box.drop_connections()
