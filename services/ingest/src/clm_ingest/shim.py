"""The shim in front of FastAPI: routes of the table are answered directly, the rest goes through.

FastAPI's routing and validation would cost a request four times what answering it costs.
"""

import re
from typing import Final, Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from clm_common.runtime.front import ROUTE
from clm_ingest.table import Found, Table

_TRACKING: Final = "/v1/"
_ADMIN: Final = "/v1/admin/"
_SLASHES: Final = re.compile("//+")
_NOTHING: Final = Found("/v1/other", {})


class Tracking(Protocol):
    """What answers the routes of the table."""

    async def answer(self, found: Found, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        ...


class Shim:
    """Finds who answers: the tracking app what is in the table, FastAPI everything else.

    A path below `/v1/` that is neither in the table nor of the admin API is answered by the
    tracking app, too, in words that SDKs understand.
    """

    def __init__(
        self, tracking: Tracking, table: Table, rest: ASGIApp, *, prefix: str = ""
    ) -> None:
        """Make it.

        Args:
            tracking: answers the routes of the table.
            table: knows them.
            rest: answers everything else.
            prefix: a path below which the table's routes are, too.
        """
        self._prefix = prefix
        self._tracking = tracking
        self._table = table
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to whom it belongs."""
        path: str = scope["path"]
        found = self._table.find(path)
        if found is None and "//" in path:  # a host was given with a slash at its end
            path = _SLASHES.sub("/", path)
            found = self._table.find(path)
        if found is None and self._prefix and path.startswith(self._prefix):
            found = self._table.find(path.removeprefix(self._prefix))
            if found is not None:
                scope["root_path"] = scope.get("root_path", "") + self._prefix
        if found is None:
            if not path.startswith(_TRACKING) or path.startswith(_ADMIN):
                await self._rest(scope, receive, send)
                return
            found = _NOTHING
        scope[ROUTE] = found.name
        await self._tracking.answer(found, scope, receive, send)
