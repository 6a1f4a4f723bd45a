"""One bound port and the uvicorn server behind it, as a task of our own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from typing import Final

import uvicorn

from clm_common.errors import SettingsError
from clm_common.runtime.front import ASGIApp
from clm_common.runtime.protocol import BoundedProtocol

_BACKLOG: Final = 2048
_KEEP_ALIVE: Final = 75  # seconds; longer than the idle time of common load balancers (60)


class _Server(uvicorn.Server):
    """A uvicorn server that leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Capture nothing."""
        yield


class Listener:
    """A port that is bound already and a server that will answer on it."""

    def __init__(self, app: ASGIApp, bound: socket.socket, seconds: float) -> None:
        """Make it; `listen` is the way to.

        Args:
            app: answers the requests.
            bound: the listening socket.
            seconds: how long requests may take to finish at the end.
        """
        self._bound = bound
        self._server = _Server(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                lifespan="off",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,  # whom to believe is a service's own setting
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=max(1, round(seconds)),
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port it is bound to."""
        port: int = self._bound.getsockname()[1]
        return port

    @property
    def task(self) -> asyncio.Task[None]:
        """The task that serves, from `running` on."""
        if self._task is None:
            raise RuntimeError("the listener is not running")
        return self._task

    def stop(self) -> None:
        """Take no more connections, finish what is in flight, then end the task."""
        self._server.should_exit = True

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[int]:
        """Serve for as long as the block runs; gives the port."""
        self._task = asyncio.create_task(self._server.serve([self._bound]), name="http")
        try:
            yield self.port
        finally:
            self.stop()
            await asyncio.wait({self._task})


def listen(app: ASGIApp, host: str, port: int, seconds: float) -> Listener:
    """Bind a port.

    Args:
        app: answers the requests.
        host: the address to bind.
        port: 0 picks a free one.
        seconds: how long requests may take to finish at the end.

    Raises:
        SettingsError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        advice = "the port is in use; choose another or stop who holds it" if taken else str(error)
        raise SettingsError("settings.port", f"cannot listen on {host}:{port}: {advice}") from error
    return Listener(app, bound, seconds)
