"""The SMTP side: accepts whatever comes, for whomever, and keeps it."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from clm_local.mail.store import Store

SIZE_LIMIT = 32 * 1024 * 1024


class Keep:
    """aiosmtpd's handler; its method's name is aiosmtpd's."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  (aiosmtpd's name)
        """Keep the mail, and say so only when it is in its file."""
        content = envelope.content
        raw = content if isinstance(content, bytes) else (content or "").encode()
        recipients = [str(address) for address in envelope.rcpt_tos]
        name = self._store.add(str(envelope.mail_from or ""), recipients, raw)
        return f"250 OK kept as {name}"


async def listen(store: Store, host: str, port: int) -> asyncio.Server:
    """Accept mails until the server is closed."""
    session: Any = functools.partial(  # Any: aiosmtpd is not typed
        SMTP,
        Keep(store),
        data_size_limit=SIZE_LIMIT,
        enable_SMTPUTF8=True,
        hostname="localhost",
        ident="CLM mail catcher",
    )
    return await asyncio.get_running_loop().create_server(session, host, port)
