"""People, through stage-engine's API: find, show, explain, move and export them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from clm_local.errors import LocalError
from clm_local.service import Service

PATH = "/v1/profiles"

_SHOWN = 5  # people named where several share an identifier


class Place(Struct):
    """Where somebody stands in one lifecycle."""

    stage: str
    since: datetime


class Profile(Struct):
    """A person as they are now; without a stage they have no touchpoint."""

    id: UUID
    user_id: str | None
    anonymous_ids: list[str]
    stage: str | None
    stage_since: datetime | None
    first_seen: datetime | None
    last_seen: datetime | None
    touchpoints: int
    lifecycles: dict[str, Place]

    @property
    def named(self) -> str:
        """An identifier that is theirs alone."""
        if self.user_id is not None:
            return self.user_id
        return next((f"anonymous_id:{it}" for it in self.anonymous_ids), str(self.id))


class _Profiles(Struct):
    profiles: list[Profile]


class Touchpoint(Struct):
    """Something that somebody did."""

    at: datetime
    source: str
    type: str
    event: str | None
    channel: str | None
    campaign: str | None
    late: bool


class _Touchpoints(Struct):
    touchpoints: list[Touchpoint]


class Guard(Struct):
    """One part of a condition, as it stood."""

    condition: str
    value: int | float | str | bool | None
    holds: bool


class Alternative(Struct):
    """A move that was not taken."""

    move: str
    target: str
    unmet: list[Guard]


class Prospect(Alternative):
    """A move that lies ahead."""

    at: list[str]
    due: datetime | None


class Why(Struct):
    """Why a stage was entered."""

    definition: str
    kind: str
    guards: list[Guard]
    nearest: list[Alternative]
    reason: str | None = None
    author: str | None = None


class Transition(Struct):
    """A stage change, explained."""

    at: datetime
    source: str | None
    target: str
    move: str
    cause: str | None
    why: Why | None


class Due(Struct):
    """What happens by time alone."""

    due: datetime
    target: str


class Outlook(Struct):
    """What could move somebody next."""

    stage: str
    next: Due | None
    moves: list[Prospect]


class Explained(Struct):
    """The newest transitions, newest first, and what lies ahead."""

    transitions: list[Transition]
    outlook: Outlook | None


class Move(Struct):
    """A move by hand."""

    id: str
    to: str
    author: str
    at: datetime


class Named(Struct):
    """An identifier that a decision is about."""

    kind: str
    value: str


class Decision(Struct):
    """Somebody's decision about who is one person."""

    id: UUID
    kind: str
    at: datetime
    reason: str | None
    author: str | None
    cause: str
    identifiers: list[Named]
    undone_by: UUID | None
    without_effect: str | None = None


class Decisions(Struct):
    """The newest decisions about a person, newest first."""

    decisions: list[Decision]


class Stored(Struct):
    """A store of a receipt."""

    service: str
    done_at: datetime | None


class Topic(Struct):
    """A topic of a receipt."""

    topic: str
    clean_by: datetime | None
    sealed: bool = False


class Receipt(Struct):
    """What became of an erasure."""

    id: UUID
    state: str
    stores: list[Stored]
    topics: list[Topic]
    profiles: int | None = None
    touchpoints: int | None = None


class People(Service):
    """Asks stage-engine; a context manager."""

    name = "stage-engine"

    def find(self, identifier: str) -> UUID:
        """Give the id of the profile that an identifier belongs to.

        Raises:
            LocalError: as `profile` does.
        """
        return self.profile(identifier).id

    def profile(self, identifier: str) -> Profile:
        """Give the profile that an identifier belongs to.

        Args:
            identifier: `kind:value`; without a kind it is a user id.

        Raises:
            LocalError: nobody has it, or several people share it.
        """
        kind, colon, value = identifier.partition(":")
        named = identifier if colon and kind and value else f"user_id:{identifier}"
        found = self.ask("GET", PATH, _Profiles, query={"identifier": named}).profiles
        if not found:
            raise LocalError("profile-unknown", f"Nobody is known as {named}.")
        if len(found) > 1:
            who = ", ".join(it.named for it in found[:_SHOWN]) + (", …" if found[_SHOWN:] else "")
            message = f"{len(found)} people are known as {named}: name one of them: {who}."
            raise LocalError("profile-ambiguous", message)
        return found[0]

    def touchpoints(self, profile: UUID, limit: int) -> list[Touchpoint]:
        """Give somebody's newest touchpoints, the newest first.

        Raises:
            LocalError: the service does not answer, or refuses.
        """
        path = f"{PATH}/{profile}/touchpoints"
        return self.ask("GET", path, _Touchpoints, query={"limit": str(limit)}).touchpoints

    def explain(self, profile: UUID) -> Explained:
        """Say why somebody is in their stage.

        Raises:
            LocalError: the service does not answer, or refuses.
        """
        return self.ask("GET", f"{PATH}/{profile}/explain", Explained)

    def move(self, profile: UUID, stage: str, reason: str, key: str) -> Move:
        """Move somebody by hand; the same key means the same decision.

        Raises:
            LocalError: the service does not answer, or refuses.
        """
        return self.ask(
            "POST",
            f"{PATH}/{profile}/moves",
            Move,
            body={"to": stage, "reason": reason},
            headers={"Idempotency-Key": key},
        )

    def decide(self, profile: UUID, what: str, body: dict[str, str], key: str) -> Decision:
        """Decide who is one person; the same key means the same decision.

        Args:
            profile: about whom.
            what: `merge`, `unmerge` or `split`.
            body: what the route asks for.
            key: names the decision.

        Raises:
            LocalError: the service does not answer, or refuses.
        """
        headers = {"Idempotency-Key": key}
        return self.ask("POST", f"{PATH}/{profile}/{what}", Decision, body=body, headers=headers)

    def decisions(self, profile: UUID) -> list[Decision]:
        """Give the decisions about who is one person with somebody, the newest first.

        Raises:
            LocalError: the service does not answer, or refuses.
        """
        return self.ask("GET", f"{PATH}/{profile}/merges", Decisions).decisions

    def export(self, profile: UUID) -> Iterator[bytes]:
        """Give one JSON document in pieces, as they arrive.

        Raises:
            LocalError: the service does not answer, or breaks off.
        """
        yield from self.stream(f"{PATH}/{profile}/export")

    def erase(self, profile: UUID, reason: str) -> Receipt:
        """Have somebody erased, everywhere; gives the receipt as it is now.

        Raises:
            LocalError: the service does not answer, or refuses.
        """
        return self.ask("POST", f"{PATH}/{profile}/erase", Receipt, body={"reason": reason})

    def receipt(self, erasure: UUID) -> Receipt:
        """Give the receipt of an erasure.

        Raises:
            LocalError: the service does not answer, or there is none.
        """
        return self.ask("GET", f"/v1/erasures/{erasure}", Receipt)
