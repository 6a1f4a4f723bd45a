"""The headers of admitted touchpoints: what they are, and what many of them have in common."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from clm_common.bus.ports import Shared
from clm_common.contracts.envelope import JSON, SPECVERSION, Header
from clm_common.contracts.touchpoint import MARKS_HEADER, TYPES, TouchpointType, source_uri

OWN: Final = ("ce_id", "ce_time")
"""The names of the headers whose values no two touchpoints have in common."""

TYPE_HEADERS: Final[dict[str, Header]] = {
    kind: ("ce_type", f"clm.touchpoint.{kind}.v1".encode()) for kind in TYPES
}
UNTIMED: Final[Header] = ("ce_untimed", b"1")


class InCommon(dict[TouchpointType | tuple[TouchpointType, bytes, bool] | None, Shared]):
    """The headers that touchpoints of a request have in common, by what they depend on.

    With each touchpoint's own they are what `envelope_of(...).headers()` gives. They are made when
    they are asked for first: most requests hold events of one or two types. Those of a touchpoint
    with nothing special about it stand under its type alone.
    """

    def __init__(self, workspace: str, source: str, received: bytes) -> None:
        """Make it for the requests of a source.

        Args:
            workspace: the source's.
            source: its id.
            received: when the request was, as RFC 3339.
        """
        super().__init__()
        self._received = ("ce_receivedtime", received)
        self._fixed = _fixed(workspace, source)

    def of(
        self, kind: TouchpointType, marks: Iterable[bytes] = (), *, untimed: bool = False
    ) -> Shared:
        """Give those of a touchpoint.

        Args:
            kind: its type.
            marks: what it is marked as.
            untimed: it had no usable time.
        """
        joined = b",".join(marks)
        return self[(kind, joined, untimed) if joined or untimed else kind]

    def __missing__(self, key: TouchpointType | tuple[TouchpointType, bytes, bool]) -> Shared:
        kind, marks, untimed = (key, b"", False) if isinstance(key, str) else key
        headers: list[Header] = [self._received]
        if untimed:
            headers.append(UNTIMED)
        if marks:
            headers.append((MARKS_HEADER, marks))
        found = self[key] = Shared(tuple(headers), self._fixed[kind])
        return found


@lru_cache(maxsize=512)
def _fixed(workspace: str, source: str) -> dict[str, tuple[Header, ...]]:
    """Give, by type, the headers that all touchpoints of a source have."""
    source_header = ("ce_source", source_uri(workspace, source).encode())
    return {
        kind: (SPECVERSION, source_header, header, JSON) for kind, header in TYPE_HEADERS.items()
    }
