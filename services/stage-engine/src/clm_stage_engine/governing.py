"""Which definition decides about whom: the installation's file, or what a workspace published.

Every process reads the publications again each second, so it acts by a new one within two. While
PostgreSQL is away the known ones hold. What a batch goes by is one `Rules` from its begin to its
end. For a second or two two processes may go by different ones; whoever was folded by the old one
after that is found by the sweep (see `sweeping`), which waits until everybody knows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from clm_common.errors import DefinitionError, Rejected, Unavailable
from clm_common.runtime.freshness import Reading, keep_fresh
from clm_stage_engine.core.eras import Course, Era
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.core.sampling import bound
from clm_stage_engine.running import Running
from clm_stage_engine.store.eras import Deciding

REFRESH: Final = 1.0
"""Seconds between two readings."""

PATIENCE: Final = 5.0
"""Seconds a reading may take before it is given up and tried again."""


class Rule(Struct, frozen=True):
    """What a workspace published.

    Attributes:
        publication: the number of the act that made it so.
        whole: decides about everybody, but for those of the canary.
        canary: decides about those whose id is up to `bound`.
        bound: the last id of the canary's share.
        settled: it is old enough that every process goes by it.
    """

    publication: int
    whole: Running
    canary: Running | None
    bound: UUID
    settled: bool

    def running(self, profile: UUID) -> Running:
        """Give what decides about somebody."""
        if self.canary is not None and profile <= self.bound:
            return self.canary
        return self.whole


class Rules(Struct, frozen=True):
    """What decides, at one instant.

    Attributes:
        default: the installation's own, for workspaces that published nothing.
        of: by workspace.
    """

    default: Running
    of: Mapping[str, Rule]

    def course(self, workspace: str, profile: UUID) -> Course:
        """Give the definitions that decide about somebody, in turn."""
        rule = self.of.get(workspace) if self.of else None
        return self.default.course if rule is None else rule.running(profile).course

    def running(self, workspace: str) -> Running:
        """Give what decides about a workspace's people, but for those of a canary."""
        rule = self.of.get(workspace)
        return self.default if rule is None else rule.whole


Read = Callable[[], Awaitable[Sequence[Deciding]]]
Compile = Callable[[str, int], Running]


_Name = tuple[str, int, str]
"""A version: its workspace, number and text."""


class Board:
    """The rules as they were read last."""

    def __init__(
        self, default: Running, read: Read | None = None, compile_: Compile | None = None
    ) -> None:
        """Make one that knows of no publications yet.

        Args:
            default: what runs where nothing was published.
            read: gives the versions that decide, of all workspaces, of the default's key; None
                where nothing can be published.
            compile_: reads a version's text, with its number.
        """
        self.rules = Rules(default, {})
        self._read = read
        self._compile = compile_
        self._numbered: dict[_Name, Running] = {}

    def compile(self, text: str) -> Lifecycle:
        """Read a definition's text as a version's is read.

        Raises:
            DefinitionError: it cannot be right.
            Rejected: nothing can be published here.
        """
        if self._compile is None:
            raise Rejected(409, "lifecycle.fixed", "this process takes no versions")
        return self._compile(text, 0).lifecycle

    async def refresh(self) -> None:
        """Read the publications now.

        Raises:
            Unavailable: PostgreSQL is away; the rules stay as they were.
            DefinitionError: a version cannot be right by this release; they stay as they were.
        """
        if self._read is None or self._compile is None:
            return
        rows = await self._read()
        self._numbered = {
            name: self._numbered.get(name) or self._compile(name[2], name[1])
            for row in rows
            for name in _names(row)
        }
        found: dict[str, Rule] = {}
        for row in rows:
            running = self.assemble(row)
            if row.share is None:
                found[row.workspace] = Rule(row.publication, running, None, bound(0.0), row.settled)
            else:
                rule = found[row.workspace]
                found[row.workspace] = replace(rule, canary=running, bound=bound(row.share))
        if found != self.rules.of:
            self.rules = Rules(self.rules.default, found)

    def assemble(self, row: Deciding) -> Running:
        """Put together the versions that decide in turn.

        Raises:
            DefinitionError: one cannot be right by this release.
            Rejected: nothing can be published here.
        """
        if self._compile is None:
            raise Rejected(409, "lifecycle.fixed", "this process takes no versions")
        running = [
            self._numbered.get(name) or self._compile(name[2], name[1]) for name in _names(row)
        ]
        eras = [
            Era(of.lifecycle, it.since, it.policy, it.stages)
            for of, it in zip(running, row.eras, strict=True)
        ]
        return Running(Course(tuple(eras)), running[-1].view)

    async def stay_fresh(self, stop: asyncio.Event) -> None:
        """Read them again and again until told to stop; a store that is away is waited for."""
        tolerated = (Unavailable, DefinitionError)
        how = Reading(REFRESH, PATIENCE, "lifecycles.kept", "lifecycles.back", tolerated)
        await keep_fresh(self.refresh, how, stop)


def _names(row: Deciding) -> list[_Name]:
    return [(row.workspace, it.number, row.texts[it.number]) for it in row.eras]
