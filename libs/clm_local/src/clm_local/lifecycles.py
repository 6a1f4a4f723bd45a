"""Versions of lifecycles, through stage-engine's API."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Raw, Struct
from msgspec.structs import asdict

from clm_local.service import Service


class Version(Struct, frozen=True):
    """A version of a lifecycle."""

    key: str
    number: int
    state: str
    share: float | None
    author: str
    note: str
    created_at: datetime


class Era(Struct, frozen=True):
    """From when on a version decides, and what became of the people in flight."""

    number: int
    policy: str
    at: datetime | None
    stages: dict[str, str]


class Publication(Struct, frozen=True):
    """An act by which a version came to decide."""

    id: int
    key: str
    number: int
    action: str
    share: float | None
    author: str
    note: str
    at: datetime
    eras: list[Era]

    @property
    def policy(self) -> str:
        """What became of the people in flight."""
        return self.eras[-1].policy


class Terms(Struct, frozen=True):
    """How a version is published."""

    share: float | None
    policy: str
    mapping: dict[str, str]
    note: str
    beside: bool = False


class History(Struct, frozen=True):
    """What was written and what was published, newest first."""

    key: str
    versions: list[Version]
    publications: list[Publication]


class Act(Struct, frozen=True):
    """A lifecycle was started or stopped beside the main one."""

    id: int
    key: str
    action: str


class Sweep(Struct, frozen=True):
    """How far everybody is folded again."""

    publication: int
    partitions: int
    partitions_done: int
    folded_again: int
    done: bool


class Asked(Struct, frozen=True):
    """How a version is compared; `against` None is what decides now."""

    against: int | None
    sample: float
    examples: int
    policy: str
    mapping: dict[str, str]


class Diff(Struct, frozen=True):
    """A comparison that was asked for: how far it is, and its answer as JSON once it is `done`."""

    id: UUID
    state: str
    people_done: int
    people: int | None
    reason: str | None
    answer: Raw

    @property
    def ended(self) -> bool:
        """Whether nobody works on it any more."""
        return self.state not in {"waiting", "running"}


class _Running(Struct, frozen=True):
    key: str


class _Lifecycles(Struct, frozen=True):
    lifecycles: list[_Running]


class Lifecycles(Service):
    """Asks stage-engine; a context manager."""

    name = "stage-engine"

    def running(self) -> str:
        """Give the key of the main lifecycle."""
        return self.ask("GET", "/v1/lifecycles", _Lifecycles).lifecycles[0].key

    def draft(self, yaml: str, note: str, *, beside: bool = False) -> Version:
        """Keep a definition as the next version; `beside` if its lifecycle does not run yet."""
        body = {"yaml": yaml, "note": note, "beside": beside}
        return self.ask("POST", "/v1/lifecycles", Version, body=body)

    def act(self, key: str, action: str, note: str) -> Act:
        """Start or stop a lifecycle beside the main one."""
        return self.ask("POST", f"/v1/lifecycles/{key}/{action}", Act, body={"note": note})

    def publish(self, key: str, number: int, terms: Terms) -> Publication:
        """Let a version decide."""
        path = f"/v1/lifecycles/{key}/versions/{number}/publish"
        return self.ask("POST", path, Publication, body=asdict(terms))

    def roll_back(self, key: str, note: str) -> Publication:
        """Go back."""
        path = f"/v1/lifecycles/{key}/rollback"
        return self.ask("POST", path, Publication, body={"note": note})

    def compare(self, key: str, number: int, asked: Asked) -> Diff:
        """Have a version compared over everybody's history."""
        path = f"/v1/lifecycles/{key}/versions/{number}/diffs"
        return self.ask("POST", path, Diff, body=asdict(asked))

    def diff(self, name: UUID) -> Diff:
        """Tell how far a comparison is."""
        return self.ask("GET", f"/v1/diffs/{name}", Diff)

    def cancel(self, name: UUID) -> Diff:
        """Give a comparison up."""
        return self.ask("POST", f"/v1/diffs/{name}/cancel", Diff)

    def history(self, key: str) -> History:
        """Give versions and publications."""
        return self.ask("GET", f"/v1/lifecycles/{key}/history", History)

    def progress(self, key: str) -> Sweep:
        """Tell how far the newest publication is."""
        return self.ask("GET", f"/v1/lifecycles/{key}/progress", Sweep)
