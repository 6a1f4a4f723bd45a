"""Merging: which identities are one person because somebody decided so, as a function of a set.

A decision joins identities (an alias call, a merge by hand), splits one identity off, or takes
another decision back. Decisions that were taken back do not count, whenever that was said; the
others hold one after the other, by (time, name). So the outcome does not depend on the order in
which they arrive, taking one back restores what was before, and a ring of aliases is one group.

A group's profile is that of its first user: whoever is merged goes to whom they are merged into.
A group of devices alone goes to the user of the earliest link of one of them. An identity that was
split off does not follow its links any more: it stays alone until somebody joins it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal
from uuid import UUID

from msgspec import Struct

from clm_common.contracts.ids import USER_ID
from clm_stage_engine.core.identity import IdentityRow

Kind = Literal["alias", "merge", "split", "unmerge"]

MOST: Final = 20
"""User ids that aliases may join: a sender's mistake must not make one person of all."""


class Decision(Struct, frozen=True):
    """Somebody's decision about who is one person.

    Attributes:
        id: derived; the same decision has the same one.
        workspace: the workspace's key.
        kind: what it does.
        time: when it holds from among decisions, µs.
        name: `source/message id`; breaks ties of time.
        members: the identities it is about; of a merge first into whom, of an unmerge those of the
            decision that it takes back.
        undoes: the decision that an unmerge takes back.
        reason: why.
        author: who decided; None where an alias call did.
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

    @property
    def place(self) -> tuple[int, str]:
        """Its place among the others."""
        return self.time, self.name


Group = tuple[UUID, ...]
Rows = Mapping[UUID, IdentityRow]


class Groups(Struct, frozen=True):
    """Who is one person by decision.

    Attributes:
        of: the group of each identity that somebody decided about.
        apart: the identities that were split off, and follow no link.
    """

    of: Mapping[UUID, Group]
    apart: frozenset[UUID]

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


def groups(decisions: Iterable[Decision], rows: Rows, most: int = MOST) -> Groups:
    """Tell who is one person.

    Args:
        decisions: all that name one of these identities, or one that any of them names.
        rows: the identities; one without a row was erased, and only connects others.
        most: user ids that an alias may join; one that would join more joins nobody.
    """
    of: dict[UUID, Group] = {}
    apart = set[UUID]()
    for it in standing(decisions):
        if it.kind == "split":
            apart.update(it.members)
            _split(of, it.members[0])
            continue
        joined = _joined(of, it.members)
        if it.kind != "alias" or sum(_is_user(each, rows) for each in joined) <= most:
            of |= dict.fromkeys(joined, joined)
    return Groups(of, frozenset(apart))


def _split(of: dict[UUID, Group], identity: UUID) -> None:
    rest = tuple(each for each in of.get(identity, ()) if each != identity)
    of |= dict.fromkeys(rest, rest)
    of[identity] = (identity,)


def _joined(of: Mapping[UUID, Group], members: Iterable[UUID]) -> Group:
    """Give the members' groups as one, in order, each identity once."""
    return tuple(dict.fromkeys(each for it in members for each in of.get(it, (it,))))


def _is_user(identity: UUID, rows: Rows) -> bool:
    return identity in rows and rows[identity].kind == USER_ID


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
    links = [
        link
        for each in group
        if each in rows and each not in found.apart and (link := rows[each].link) is not None
    ]
    if links:
        linked = min(links).user
        return _first_user(found.group(linked), rows) or linked
    return next(each for each in group if each in rows)


def _first_user(group: Group, rows: Rows) -> UUID | None:
    return next((each for each in group if _is_user(each, rows)), None)
