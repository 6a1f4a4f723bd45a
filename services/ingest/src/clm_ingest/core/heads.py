"""The headers of admitted touchpoints: what they are, and what many of them have in common."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from clm_common.bus.ports import Shared
from clm_common.contracts.envelope import JSON, SPECVERSION, Header
from clm_common.contracts.touchpoint import MARKS_HEADER, TYPES, TouchpointType, source_uri

OWN: Final = ("ce_receivedtime", "ce_id", "ce_time")
"""The names of the headers that each touchpoint has a value of its own for."""

UNTIMED: Final[Header] = ("ce_untimed", b"1")
_TYPE_HEADERS: Final[dict[str, Header]] = {
    kind: ("ce_type", f"clm.touchpoint.{kind}.v1".encode()) for kind in TYPES
}


class InCommon(dict[TouchpointType | tuple[TouchpointType, bytes, bool] | None, Shared]):
    """The headers that touchpoints of a source have in common, by what they depend on.

    With each touchpoint's own they are what `envelope_of(...).headers()` gives. Those of a
    touchpoint with nothing special about it stand under its type alone.
    """

    def __init__(self, workspace: str, source: str) -> None:
        """Make it; `in_common` has it made already.

        Args:
            workspace: the source's.
            source: its id.
        """
        super().__init__()
        self._source = ("ce_source", source_uri(workspace, source).encode())

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
        headers: list[Header] = [SPECVERSION, self._source, _TYPE_HEADERS[kind], JSON]
        if untimed:
            headers.append(UNTIMED)
        if marks:
            headers.append((MARKS_HEADER, marks))
        found = self[key] = Shared(tuple(headers))
        return found


in_common: Final = lru_cache(maxsize=512)(InCommon)
"""Gives what the touchpoints of a source have in common, by workspace and source."""
