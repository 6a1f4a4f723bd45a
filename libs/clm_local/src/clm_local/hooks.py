"""The hooks that other systems send their webhooks to, through ingest's admin API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from clm_local import choosing
from clm_local.service import Service

PATH = "/v1/admin/hooks"
PAGE = 500


class Hook(Struct, frozen=True):
    """Where a sender posts its webhooks to.

    Attributes:
        id: stands in its address.
        name: what people call it.
        source: the id of the source that its touchpoints come from.
        mapping: what reads its bodies.
        scheme: how they are signed.
        path: its address, below ingest's.
        has_secret: signatures can be checked.
        disabled_at: since when nothing is taken, if so.
        secret: the one that was made for it; only in the answer that made it.
    """

    id: str
    name: str
    source: str
    mapping: str
    scheme: str
    path: str
    has_secret: bool
    disabled_at: datetime | None = None
    secret: str | None = None


class Refused(Struct, frozen=True):
    """Why something would go to the quarantine."""

    code: str
    detail: str


class Rehearsal(Struct, frozen=True):
    """What a webhook would become."""

    touchpoints: Sequence[dict[str, Any]]  # Any: JSON
    refused: Sequence[Refused]
    ignored: bool


class _Page(Struct, frozen=True):
    hooks: list[Hook]
    next: str | None = None


class Hooks(Service):
    """Asks ingest; a context manager."""

    name = "ingest"

    def list(self) -> Sequence[Hook]:
        """Give all hooks, oldest first."""
        page = self.ask("GET", PATH, _Page, query={"limit": PAGE})
        found = list(page.hooks)
        while page.next is not None:
            page = self.ask("GET", PATH, _Page, query={"limit": PAGE, "cursor": page.next})
            found += page.hooks
        return found

    def create(self, wanted: Mapping[str, object]) -> Hook:
        """Make a hook; a secret that is made for it cannot be shown again."""
        return self.ask("POST", PATH, Hook, body=wanted)

    def rotate(self, hook: str, secret: str | None, grace: int) -> Hook:
        """Give a hook a new secret; the old one is taken for `grace` seconds more."""
        body = {"secret": secret, "grace_seconds": grace}
        return self.ask("POST", f"{PATH}/{hook}/rotate", Hook, body=body)

    def disable(self, hook: str) -> Hook:
        """Take nothing from now on."""
        return self.ask("POST", f"{PATH}/{hook}/disable", Hook)

    def enable(self, hook: str) -> Hook:
        """Take what is sent again."""
        return self.ask("POST", f"{PATH}/{hook}/enable", Hook)

    def test(self, hook: str, body: str, headers: Mapping[str, str]) -> Rehearsal:
        """Say what a body would become; nothing is sent or kept."""
        sample = {"body": body, "headers": headers}
        return self.ask("POST", f"{PATH}/{hook}/test", Rehearsal, body=sample)


def choose(hooks: Sequence[Hook], wanted: str) -> Hook:
    """Find a hook by its name or the beginning of its id.

    Raises:
        LocalError: there is none, or more than one.
    """
    return choosing.choose(hooks, wanted, what="hook")
