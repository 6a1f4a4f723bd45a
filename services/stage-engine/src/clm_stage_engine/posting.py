"""Posts a webhook: no redirects, no proxy, bounded in time and size, to allowed addresses only.

A name is resolved when it is connected to, and the connection goes to the address that was judged:
no answer of the DNS can lead it elsewhere in between.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Final, Self, cast
from urllib.parse import urlsplit

import httpcore

from clm_common.clock import Clock
from clm_common.errors import Rejected
from clm_common.instant import SECOND, from_datetime
from clm_stage_engine.core.addresses import is_allowed
from clm_stage_engine.core.outgoing import Answer

LONGEST: Final = 15.0
"""Seconds a try may take, until the response's status."""

DRAIN: Final = 1.0
"""Seconds that the rest of a response may take; it is read only to use the connection again."""

LARGEST: Final = 16_384
"""Bytes of a response that are read, and thrown away."""

CONNECTIONS: Final = 256

_REFUSED: Final = "address_refused"


class AddressRefused(httpcore.ConnectError):
    """A host has no address that may be connected to."""


class GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Connects to allowed addresses only."""

    def __init__(self, *, private: bool) -> None:
        """Make it; `private` allows private networks and this machine."""
        self._private = private
        # Without anyio httpcore has another class by this name; it is a dependency of ours.
        self._network = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the port's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first allowed address that answers."""
        failure: Exception = AddressRefused(_REFUSED)
        for address in await _resolved(host, port):
            if not is_allowed(address, private=self._private):
                continue
            try:
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await self._network.sleep(seconds)


async def _resolved(host: str, port: int) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError("name_unknown") from error
    return list(dict.fromkeys(str(it[4][0]) for it in found))


class Poster:
    """Posts to endpoints; a context manager."""

    def __init__(
        self, clock: Clock, *, http: bool = False, private: bool = False, longest: float = LONGEST
    ) -> None:
        """Connects with the first post.

        Args:
            clock: tells how far away a date is that an endpoint names.
            http: whether endpoints without TLS are allowed.
            private: whether private networks and this machine are allowed.
            longest: seconds a try may take.
        """
        self._clock = clock
        self._http = http
        self._private = private
        self._longest = longest
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=CONNECTIONS,
            max_keepalive_connections=64,
            keepalive_expiry=30.0,
            network_backend=GuardedNetwork(private=private),
        )

    def check(self, url: str) -> None:
        """Return if an address may be subscribed with; its name is judged when it is resolved.

        Raises:
            Rejected: 422; it may not.
        """
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError as error:
            raise _wrong("it is no URL") from error
        if parts.scheme not in ({"https", "http"} if self._http else {"https"}):
            raise _wrong("it must begin with https://")
        if not host or parts.username is not None or parts.fragment:
            raise _wrong("it needs a host, and has neither user nor fragment")
        if _is_address(host) and not is_allowed(host, private=self._private):
            raise _wrong("this address is not allowed here")

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Post once, and say what became of it; never raises for what an endpoint does."""
        if urlsplit(url).scheme == "http" and not self._http:
            return Answer(None, "http_refused")
        try:
            async with asyncio.timeout(self._longest):
                response = await self._pool.handle_async_request(self._request(url, headers, body))
            try:
                return self._read(response)
            finally:
                await _finish(response)
        except (TimeoutError, httpcore.TimeoutException):
            return Answer(None, "timeout")
        except AddressRefused:
            return Answer(None, _REFUSED)
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError):
            return Answer(None, "connection")

    def _request(self, url: str, headers: Mapping[str, str], body: bytes) -> httpcore.Request:
        each = self._longest
        limits = {"connect": each, "read": each, "write": each, "pool": each}
        own = {"host": urlsplit(url).netloc, "content-length": str(len(body))}
        sent = [*{**headers, **own}.items()]
        return httpcore.Request(
            "POST", url, headers=sent, content=body, extensions={"timeout": limits}
        )

    def _read(self, response: httpcore.Response) -> Answer:
        status = response.status
        reason = None if status // 100 == 2 else f"http_{status}"  # noqa: PLR2004 - 2xx
        headers = {name.lower(): value for name, value in response.headers}
        return Answer(status, reason, self._seconds(headers.get(b"retry-after")))

    def _seconds(self, told: bytes | None) -> float | None:
        """Read a Retry-After: seconds, or a date."""
        text = (told or b"").decode("latin-1").strip()
        if text.isdecimal() and len(text) < 10:  # noqa: PLR2004 - more is no number of seconds
            return float(text)
        try:
            at = from_datetime(parsedate_to_datetime(text))
        except (ValueError, OverflowError):
            return None
        return max(0.0, (at - self._clock.now()) / SECOND)

    async def __aenter__(self) -> Self:
        """Return itself; nothing is connected yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        await self._pool.aclose()


async def _finish(response: httpcore.Response) -> None:
    """Read a little of what follows, so that the connection can be used again; then let go."""
    read = 0
    try:
        async with asyncio.timeout(DRAIN):
            async for piece in response.aiter_stream():
                read += len(piece)
                if read > LARGEST:
                    break
    except (TimeoutError, httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        pass  # the status is known: what follows does not matter
    finally:
        await response.aclose()


def _is_address(host: str) -> bool:
    try:
        is_allowed(host, private=True)
    except ValueError:
        return False
    return True


def _wrong(why: str) -> Rejected:
    return Rejected(422, "webhook.url_refused", f"a webhook cannot go to this url: {why}")
