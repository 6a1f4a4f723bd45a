"""Merging: which identities are one person because somebody decided so, as a function of a set.

A decision joins identities (an alias call, a match, a merge by hand), splits one identity off, or
takes another decision back. A match is made by a touchpoint that names an address, a number or an
id of another system whose kind may join people; see `matching`. Decisions that were taken back do
not count, whenever that was said; the others hold one after the other, by (time, name). So the
outcome does not depend on the order in which they arrive, taking one back restores what was before,
and a ring of aliases is one group.

A group's profile is that of its first user: whoever is merged goes to whom they are merged into.
A group of devices alone goes to the user of the earliest link of one of them. An identity that was
split off does not follow its links any more: it stays alone until somebody joins it again.

Aliases and matches keep to the bounds of each kind of identifier. Where two people have different
ids of a kind that is stronger than a match's, the match joins nobody, and so does whatever would
bring together more ids of a kind than one person may have. What somebody decided by hand counts
whatever it joins. Devices beyond the limit follow no link, those linked first come first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, Literal
from uuid import UUID

from msgspec import Struct, field

from clm_common.contracts.ids import ANONYMOUS_ID, USER_ID
from clm_stage_engine.core.identity import IdentityRow, Link

Kind = Literal["alias", "match", "merge", "split", "unmerge"]

MOST: Final = 20
"""User ids that are joined at most: a sender's mistake must not make one person of all."""


class Bounds(Struct, frozen=True):
    """How many identifiers of each kind one person may have, and which kind wins.

    Attributes:
        limits: by kind; a kind that is missing has none.
        priorities: of the kinds that tell people apart, 1 being the strongest.
    """

    limits: Mapping[str, int] = field(default_factory=lambda: {USER_ID: MOST})
    priorities: Mapping[str, int] = field(default_factory=lambda: {USER_ID: 1})

    @property
    def bounds_devices(self) -> bool:
        """Whether a person may have only so many devices."""
        return ANONYMOUS_ID in self.limits


BOUNDS: Final = Bounds()
"""Those of an installation that says nothing about them."""


class Decision(Struct, frozen=True):
    """Somebody's decision about who is one person.

    Attributes:
        id: derived; the same decision has the same one.
        workspace: the workspace's key.
        kind: what it does.
        time: when it holds from among decisions, µs.
        name: `source/message id`; breaks ties of time.
        members: the identities it is about; of a merge first into whom, of a match first what is
            shared, of an unmerge those of the decision that it takes back.
        undoes: the decision that an unmerge takes back.
        reason: why.
        author: who decided; None where a sender's call did.
        rank: of a match the priority of its kind when it was made: of what one call names, the
            stronger comes first.
    """

    id: UUID
    workspace: str
    kind: Kind
    time: int
    name: str
    members: tuple[UUID, ...]
    undoes: UUID | None = None
    reason: str | None = None
    author: str | None = None
    rank: int = 0

    @property
    def place(self) -> tuple[int, str, int, UUID]:
        """Its place among the others."""
        return self.time, self.name, self.rank, self.id


Group = tuple[UUID, ...]
Rows = Mapping[UUID, IdentityRow]
Part = Literal["limit", "priority"]


class Refusal(Struct, frozen=True):
    """Why an alias or a match joins nobody: by what rule, about which kind of identifier."""

    rule: Part
    kind: str


class Groups(Struct, frozen=True):
    """Who is one person by decision.

    Attributes:
        of: the group of each identity that somebody decided about.
        apart: the identities that were split off, and follow no link.
        beyond: the devices whose user has as many as a person may have, and that follow no link.
        refused: why decisions join nobody, by their ids.
    """

    of: Mapping[UUID, Group]
    apart: frozenset[UUID]
    beyond: frozenset[UUID]
    refused: Mapping[UUID, Refusal]

    def group(self, identity: UUID) -> Group:
        """Give the group of an identity; itself where nobody decided about it."""
        return self.of.get(identity, (identity,))


def each_once(decisions: Iterable[Decision]) -> dict[UUID, Decision]:
    """Keep of each decision what was said first: a sender may repeat an alias for ever."""
    found: dict[UUID, Decision] = {}
    for it in decisions:
        if it.id not in found or it.place < found[it.id].place:
            found[it.id] = it
    return found


def standing(decisions: Iterable[Decision]) -> list[Decision]:
    """Give the joins and splits that were not taken back, in order."""
    known = each_once(decisions).values()
    undone = {it.undoes for it in known}
    kept = [it for it in known if it.undoes is None and it.id not in undone]
    return sorted(kept, key=lambda it: it.place)


def groups(decisions: Iterable[Decision], rows: Rows, bounds: Bounds = BOUNDS) -> Groups:
    """Tell who is one person.

    Args:
        decisions: all that name one of these identities, or one that any of them names.
        rows: the identities; one without a row was erased, and only connects others.
        bounds: what aliases, matches and links keep to.
    """
    fold = _Fold(rows, bounds)
    for it in standing(decisions):
        fold.take(it)
    return Groups(fold.of, frozenset(fold.apart), frozenset(fold.beyond()), fold.refused)


class _Fold:
    """Who is one person after the decisions so far."""

    def __init__(self, rows: Rows, bounds: Bounds) -> None:
        self.of: dict[UUID, Group] = {}
        self.apart = set[UUID]()
        self.refused: dict[UUID, Refusal] = {}
        self._rows = rows
        self._bounds = bounds

    def take(self, it: Decision) -> None:
        """Take the next decision in."""
        if it.kind == "split":
            self.apart.update(it.members)
            self._split(it.members[0])
            return
        joined = self._joined(it.members)
        if (refusal := self._refusal(it, joined)) is not None:
            self.refused[it.id] = refusal
        else:
            self.of |= dict.fromkeys(joined, joined)

    def _split(self, identity: UUID) -> None:
        rest = tuple(each for each in self.of.get(identity, ()) if each != identity)
        self.of |= dict.fromkeys(rest, rest)
        self.of[identity] = (identity,)

    def _group(self, identity: UUID) -> Group:
        return self.of.get(identity, (identity,))

    def _joined(self, members: Iterable[UUID]) -> Group:
        """Give the members' groups as one, in order, each identity once."""
        return tuple(dict.fromkeys(each for it in members for each in self._group(it)))

    def _refusal(self, it: Decision, joined: Group) -> Refusal | None:
        if it.kind == "merge" or joined == self._group(it.members[0]):
            return None
        if it.kind == "alias":
            return self._too_many(joined, [USER_ID])
        one, other = (self._person(each) for each in it.members)
        return self._differ(one, other, it.rank) or self._too_many(
            {*one, *other}, self._bounds.limits
        )

    def _differ(self, one: set[UUID], other: set[UUID], rank: int) -> Refusal | None:
        """Tell which kind, stronger than a match's, says that these are two people."""
        for kind, priority in sorted(self._bounds.priorities.items(), key=lambda it: it[1]):
            mine, theirs = self._of_kind(one, kind), self._of_kind(other, kind)
            if priority < rank and mine and theirs and mine.isdisjoint(theirs):
                return Refusal("priority", kind)
        return None

    def _too_many(self, joined: Iterable[UUID], kinds: Iterable[str]) -> Refusal | None:
        limits, joined = self._bounds.limits, [*joined]
        for kind in sorted(kinds):
            if len(self._of_kind(joined, kind)) > limits.get(kind, len(joined)):
                return Refusal("limit", kind)
        return None

    def _of_kind(self, among: Iterable[UUID], kind: str) -> set[UUID]:
        rows = self._rows
        return {each for each in among if each in rows and rows[each].kind == kind}

    def _person(self, identity: UUID) -> set[UUID]:
        """Give the group of an identity, and that of the user to whom links would give it."""
        group = self._group(identity)
        link = self._link(group)
        return {*group, *(() if link is None else self._group(link.user))}

    def _link(self, group: Group) -> Link | None:
        """Give the link that decides whose a group is; None where it has a user or no link."""
        return (
            None if _first_user(group, self._rows) else _least_link(group, self._rows, self.apart)
        )

    def beyond(self) -> Iterator[UUID]:
        """Give the devices that are too many for their user."""
        most = self._bounds.limits.get(ANONYMOUS_ID)
        if most is None:
            return
        following: dict[Group, list[tuple[Link, Group]]] = {}
        for group in {self._group(each) for each in self._rows}:
            if (link := self._link(group)) is not None:
                following.setdefault(self._group(link.user), []).append((link, group))
        for user, devices in following.items():
            count = len(self._of_kind(user, ANONYMOUS_ID))
            for _, group in sorted(devices):
                count += len(self._of_kind(group, ANONYMOUS_ID))
                if count > most:
                    yield from group


def profile_of(identity: UUID, found: Groups, rows: Rows) -> UUID:
    """Give the profile that an identity belongs to.

    Args:
        identity: an identity with a row.
        found: what was decided about it and about the users of its links.
        rows: it, who is one with it, and the users of their links.
    """
    group = found.group(identity)
    if (user := _first_user(group, rows)) is not None:
        return user
    link = _least_link(group, rows, found.apart | found.beyond)
    if link is not None:
        return _first_user(found.group(link.user), rows) or link.user
    there = [each for each in group if each in rows]
    return next((each for each in there if rows[each].kind == ANONYMOUS_ID), there[0])


def _first_user(group: Group, rows: Rows) -> UUID | None:
    return next((each for each in group if each in rows and rows[each].kind == USER_ID), None)


def _least_link(group: Group, rows: Rows, apart: AbstractSet[UUID]) -> Link | None:
    links = (rows[each].link for each in group if each in rows and each not in apart)
    return min((link for link in links if link is not None), default=None)
