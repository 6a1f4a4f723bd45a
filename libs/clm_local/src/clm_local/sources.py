"""The sources of touchpoints, through ingest's admin API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from msgspec import Struct

from clm_local import choosing
from clm_local.service import Service

PATH = "/v1/admin/sources"
PAGE = 500

Policy = dict[str, Any]  # Any: a JSON document, which ingest checks

T = TypeVar("T")


class Source(Struct, frozen=True):
    """A place touchpoints come from.

    Attributes:
        id: stands in its touchpoints.
        name: what people call it.
        key_hint: the last characters of its write key.
        created_at: since when it is there.
        disabled_at: since when its keys are refused, if they are.
        write_key: its write key; only in the answer that made it.
        version: changes with every change.
        policy: what may be sent with its keys, as ingest has it.
    """

    id: str
    name: str
    key_hint: str
    created_at: datetime
    disabled_at: datetime | None = None
    write_key: str | None = None
    version: int = 1
    policy: Policy = {}


class Sources(Service):
    """Asks ingest; a context manager."""

    name = "ingest"

    def list(self) -> Sequence[Source]:
        """Give all sources, oldest first."""
        page = self._source("GET", f"?limit={PAGE}", _Page)
        found = list(page.sources)
        while page.next is not None:
            page = self._source("GET", f"?limit={PAGE}&cursor={page.next}", _Page)
            found += page.sources
        return found

    def create(self, name: str, policy: Policy | None = None) -> Source:
        """Make a source; its write key is in the answer and cannot be shown again."""
        return self._source("POST", "", Source, {"name": name, "policy": policy or {}})

    def update(self, source: Source, *, name: str | None, policy: Policy | None) -> Source:
        """Change what is not None; refused if the source has changed since it was read."""
        change = {"name": name, "policy": policy}
        named = {"If-Match": f'"{source.version}"'}
        return self._source("PATCH", f"/{source.id}", Source, change, named)

    def rotate(self, source: str) -> Source:
        """Give a source a new write key; the old one is taken for a while."""
        return self._source("POST", f"/{source}/rotate", Source)

    def disable(self, source: str) -> Source:
        """Refuse a source's write keys from now on."""
        return self._source("POST", f"/{source}/disable", Source)

    def enable(self, source: str) -> Source:
        """Take a source's write keys again."""
        return self._source("POST", f"/{source}/enable", Source)

    def _source(
        self,
        method: str,
        path: str,
        answer: type[T],
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        return self.ask(method, f"{PATH}{path}", answer, body=body, headers=headers)


class _Page(Struct, frozen=True):
    sources: list[Source]
    next: str | None = None


def choose(sources: Sequence[Source], wanted: str) -> Source:
    """Find a source by its name or the beginning of its id.

    Raises:
        LocalError: there is none, or more than one.
    """
    return choosing.choose(sources, wanted, what="source")
