"""The webhooks that stage changes are delivered to, through stage-engine's API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from clm_local import choosing
from clm_local.service import Service

PATH = "/v1/webhooks"
PAGE = 500


class Webhook(Struct, frozen=True):
    """Where stage changes are delivered to."""

    id: str
    name: str
    url: str
    enabled: bool
    disabled_reason: str | None = None
    secret: str | None = None


class Delivery(Struct, frozen=True):
    """A message to an endpoint, and how its last try went."""

    id: int
    webhook_id: str
    state: str
    attempts: int
    next_at: datetime | None = None
    status: int | None = None
    reason: str | None = None


class Tried(Struct, frozen=True):
    """What became of a test."""

    delivered: bool
    status: int | None = None
    reason: str | None = None


class _Page(Struct, frozen=True):
    webhooks: list[Webhook]
    next: str | None = None


class _Deliveries(Struct, frozen=True):
    deliveries: list[Delivery]


class _Replayed(Struct, frozen=True):
    replayed: int


class Webhooks(Service):
    """Asks stage-engine; a context manager."""

    name = "stage-engine"

    def list(self) -> Sequence[Webhook]:
        """Give all webhooks, oldest first: a workspace has fewer than a page."""
        return self.ask("GET", PATH, _Page, query={"limit": PAGE}).webhooks

    def choose(self, wanted: str) -> Webhook:
        """Find a webhook by its name or the beginning of its id.

        Raises:
            LocalError: there is none, or more than one.
        """
        return choosing.choose(self.list(), wanted, what="webhook")

    def create(self, name: str, url: str, filter_: Mapping[str, object]) -> Webhook:
        """Make a webhook; its secret cannot be shown again."""
        body = {"name": name, "url": url, "filter": filter_}
        return self.ask("POST", PATH, Webhook, body=body)

    def switch(self, webhook: str, *, enabled: bool) -> Webhook:
        """Switch a webhook on or off."""
        return self.ask("PATCH", f"{PATH}/{webhook}", Webhook, body={"enabled": enabled})

    def rotate(self, webhook: str, grace: int) -> Webhook:
        """Give a webhook a new secret; the old one signs for `grace` seconds more."""
        body = {"grace_seconds": grace}
        return self.ask("POST", f"{PATH}/{webhook}/rotate", Webhook, body=body)

    def test(self, webhook: str) -> Tried:
        """Send an event to try the endpoint out."""
        return self.ask("POST", f"{PATH}/{webhook}/test", Tried)

    def deliveries(self, webhook: str, state: str | None, limit: int) -> Sequence[Delivery]:
        """Give the newest deliveries, perhaps only those that stand so."""
        query: dict[str, str | int] = {"limit": limit} | ({"state": state} if state else {})
        path = f"{PATH}/{webhook}/deliveries"
        return self.ask("GET", path, _Deliveries, query=query).deliveries

    def replay(self, webhook: str, ids: Sequence[int]) -> int:
        """Have dead deliveries tried anew: these, or all where none is named."""
        body = {"ids": list(ids)} if ids else {"all": True}
        return self.ask("POST", f"{PATH}/{webhook}/replay", _Replayed, body=body).replayed
