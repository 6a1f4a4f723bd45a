"""An HTTP request as the tracking routes read it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

Params = Mapping[str, str]

NO_PARAMS: Final[Params] = {}


class Request(Struct, frozen=True):
    """The parts of a request that routes and parsers look at.

    Attributes:
        method: such as `POST`.
        path: without the query, percent-decoded.
        query: the query string as it was sent.
        scheme: `http` or `https`.
        headers: the last value of each header; names in lower case.
        params: what stands in the places of the route's `{parameters}`.
        peer: the address of whoever is connected to us.
        lines: every header as it was sent, repeated ones too.
        root: the path below which our routes are, without a slash at its end.
        whole: its body has arrived to the end.
    """

    method: str
    path: str
    query: bytes
    scheme: str
    headers: Mapping[bytes, bytes]
    params: Params = NO_PARAMS
    peer: str = ""
    lines: Sequence[tuple[bytes, bytes]] = ()
    root: str = ""
    whole: bool = False

    @classmethod
    def of(
        cls,
        scope: Mapping[str, Any],  # Any: ASGI's
        params: Params = NO_PARAMS,
        *,
        whole: bool = False,
    ) -> "Request":
        """Read it out of an ASGI scope."""
        lines = scope["headers"]
        peer, _ = scope.get("client") or ("", 0)
        return cls(
            scope["method"], scope["path"], scope["query_string"], scope["scheme"],
            dict(lines), params, peer, lines, scope.get("root_path", ""), whole,
        )  # fmt: skip

    def header(self, name: bytes) -> bytes:
        """Give a header's value, empty if it is not there."""
        return self.headers.get(name, b"")

    def joined(self, name: bytes) -> bytes:
        """Give all values of a header that may be repeated, as one list."""
        return b",".join(value for each, value in self.lines if each == name)
