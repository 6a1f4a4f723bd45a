"""The quarantine of refused touchpoints, through ingest's admin API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct

from clm_local.service import Service

PATH = "/v1/admin/quarantine"
PAGE = 200

Wanted = Mapping[str, str]
"""What is wanted: `reason`, `source`, `message_id`, `since`, `until`."""


Body = dict[str, Any] | list[Any]  # Any: the sender's own JSON
"""An event, or the body of a request."""


class Letter(Struct, frozen=True):
    """A refused event or record, as the list shows it."""

    id: str
    reason: str
    detail: str
    at: datetime
    source: str | None
    message_id: str | None
    topic: str | None
    size: int
    truncated: bool
    replayed_at: datetime | None
    replayed_by: str | None


class Detail(Letter, frozen=True):
    """A letter with its original, in base64 and as text."""

    original: str | None = None
    text: str | None = None
    index: int | None = None
    partition: int | None = None
    offset: int | None = None
    key: str | None = None
    headers: dict[str, str] | None = None
    request: str | None = None


class Refusal(Struct, frozen=True):
    """A letter that could not be replayed, and why."""

    id: str
    code: str
    detail: str


class Outcome(Struct, frozen=True):
    """What became of letters that were to be replayed."""

    replayed: list[str]
    already: list[str] = []
    refused: list[Refusal] = []
    next: str | None = None


class _Page(Struct, frozen=True):
    letters: list[Letter]
    next: str | None = None


class Quarantine(Service):
    """Asks ingest; a context manager."""

    name = "ingest"

    def list(self, wanted: Wanted, *, state: str, limit: int) -> list[Letter]:
        """Give up to `limit` letters, newest first."""
        found: list[Letter] = []
        query: dict[str, str | int] = {**wanted, "state": state}
        while len(found) < limit:
            query["limit"] = min(PAGE, limit - len(found))
            page = self.ask("GET", PATH, _Page, query=query)
            found += page.letters
            if page.next is None:
                break
            query["cursor"] = page.next
        return found

    def get(self, letter: str) -> Detail:
        """Give one letter with its original."""
        return self.ask("GET", f"{PATH}/{letter}", Detail)

    def replay(self, letter: str, *, body: Body | None, source: str | None) -> Outcome:
        """Replay one letter, with a mended body if there is one."""
        once = {"body": body, "source": source}
        return self.ask("POST", f"{PATH}/{letter}/replay", Outcome, body=once)

    def replay_all(self, wanted: Wanted) -> Iterator[Outcome]:
        """Replay all that are wanted, some at a time; with nothing wanted all there are."""
        cursor: str | None = None
        while True:
            many = {**wanted, "all": not wanted, "cursor": cursor, "limit": PAGE}
            outcome = self.ask("POST", f"{PATH}/replay", Outcome, body=many)
            yield outcome
            if outcome.next is None:
                return
            cursor = outcome.next
