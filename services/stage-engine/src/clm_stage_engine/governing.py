"""Which definitions decide about whom: the installation's files, or what a workspace published.

One lifecycle is the main one; others may run beside it, everywhere or in one workspace.

Every process reads the publications again each second, so it acts by a new one within two. While
PostgreSQL is away the known ones hold. What a batch goes by is one `Rules` from its begin to its
end. For a second or two two processes may go by different ones; whoever was folded by the old one
after that is found by the sweep (see `sweeping`), which waits until everybody knows. Whoever asks
for a lifecycle that another process has started a moment ago is not refused (`Board.running`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from clm_common.errors import DefinitionError, Rejected, Unavailable
from clm_common.runtime.freshness import Reading, keep_fresh
from clm_stage_engine.core.eras import Course, Era
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.core.sampling import bound
from clm_stage_engine.rules import Further, Rule, Rules, Sweep
from clm_stage_engine.running import Running
from clm_stage_engine.store.eras import Deciding
from clm_stage_engine.store.runs import Run

REFRESH: Final = 1.0
"""Seconds between two readings."""

PATIENCE: Final = 5.0
"""Seconds a reading may take before it is given up and tried again."""

APART: Final = 0.2
"""Seconds between two readings for those who ask for a lifecycle that is not known to run."""


class Decree(Struct, frozen=True):
    """What the rows say: the versions that decide, and which lifecycles run."""

    versions: Sequence[Deciding] = ()
    runs: Sequence[Run] = ()


Read = Callable[[], Awaitable[Decree]]
Compile = Callable[[str, int], Running]


_Name = tuple[str, int, str]
"""A version: its workspace, number and text."""

_Rules = dict[tuple[str, str], Rule]
"""What was published, by workspace and lifecycle."""


class Board:
    """The rules as they were read last."""

    def __init__(
        self,
        default: Running,
        read: Read | None = None,
        compile_: Compile | None = None,
        known: Mapping[str, Running] | None = None,
    ) -> None:
        """Make one that knows of no publications yet.

        Args:
            default: the main lifecycle, as it runs where nothing was published.
            read: gives what the rows say, of all workspaces; None where nothing can be published.
            compile_: reads a version's text, with its number.
            known: the installation's lifecycles by key, which may run beside the main one.
        """
        self.rules = Rules(default)
        self.known = known or {}
        self._read = read
        self._compile = compile_
        self._numbered: dict[_Name, Running] = {}
        self._reading = asyncio.Lock()
        self._asked_at = -APART  # when the newest reading for those who ask began
        self._next: asyncio.Task[None] | None = None  # the one that did not begin yet

    def default(self, key: str) -> Running | None:
        """Give a lifecycle as the installation's files have it; None where they have none."""
        main = self.rules.default
        return main if key == main.lifecycle.key else self.known.get(key)

    def compile(self, text: str) -> Lifecycle:
        """Read a definition's text as a version's is read.

        Raises:
            DefinitionError: it cannot be right.
            Rejected: nothing can be published here.
        """
        if self._compile is None:
            raise Rejected(409, "lifecycle.fixed", "this process takes no versions")
        return self._compile(text, 0).lifecycle

    async def running(self, workspace: str, key: str | None = None) -> Running | None:
        """Give what `Rules.running` does, also of what was started a moment ago, maybe elsewhere.

        What is not known to run is looked up, once for all who ask meanwhile; who asks again
        waits, so that nobody can have the publications read without end.

        Raises:
            Unavailable: it is not known to run, and PostgreSQL is away.
        """
        found = self.rules.running(workspace, key)
        if found is None and self._read is not None:
            self._next = self._next or asyncio.create_task(self._look_up())
            await asyncio.shield(self._next)
            found = self.rules.running(workspace, key)
        return found

    async def _look_up(self) -> None:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._asked_at + APART - clock())
        self._asked_at, self._next = clock(), None
        with suppress(DefinitionError):  # the rules stay as they were
            await self.refresh()

    async def refresh(self) -> None:
        """Read the publications now; one reading ends before another begins.

        Raises:
            Unavailable: PostgreSQL is away; the rules stay as they were.
            DefinitionError: a version cannot be right by this release; they stay as they were.
        """
        async with self._reading:
            await self._refresh()

    async def _refresh(self) -> None:
        if self._read is None or self._compile is None:
            return
        decree = await self._read()
        main = self.rules.default.lifecycle.key
        runs = [it for it in decree.runs if it.key != main]
        wanted = {main, *(it.key for it in runs)}
        rows = [it for it in decree.versions if it.key in wanted]
        self._numbered = {
            name: self._numbered.get(name) or self._compile(name[2], name[1])
            for row in rows
            for name in _names(row)
        }
        rules = self._rules(rows, runs)
        if rules != self.rules:
            self.rules = rules

    def _rules(self, rows: Sequence[Deciding], runs: Sequence[Run]) -> Rules:
        main = self.rules.default.lifecycle.key
        published: _Rules = {}
        for row in rows:
            name, running = (row.workspace, row.key), self.assemble(row)
            if row.share is None:
                published[name] = Rule(row.publication, running, None, bound(0.0), row.settled)
            else:
                published[name] = replace(published[name], canary=running, bound=bound(row.share))
        workspaces = {it.workspace for it in runs if it.workspace is not None}
        workspaces |= {workspace for workspace, key in published if key != main}
        differing = {each: self._running_in(each, runs, published) for each in workspaces}
        mine = {(each, it.key) for each, found in differing.items() for it in found}
        acts = {
            Sweep(it.publication, workspace, it.settled)
            for (workspace, key), it in published.items()
            if key == main or (workspace, key) in mine
        }
        acts |= {Sweep(it.id, it.workspace, it.settled) for it in runs}
        return Rules(
            self.rules.default,
            {workspace: it for (workspace, key), it in published.items() if key == main},
            bool(runs),
            self._running_in(None, runs, published),
            differing,
            tuple(sorted(acts, key=lambda it: it.number)),
        )

    def _running_in(
        self, workspace: str | None, runs: Sequence[Run], published: _Rules
    ) -> tuple[Further, ...]:
        """Give what runs beside the main lifecycle: a workspace's own acts come first."""
        newest = {it.key: it for it in runs if it.workspace is None}
        if workspace is not None:
            newest |= {it.key: it for it in runs if it.workspace == workspace}
        found: list[Further] = []
        for key, run in sorted(newest.items()):
            known = self.known.get(key)
            rule = published.get((workspace or "", key))
            if rule is None and known is not None:
                rule = Rule(run.id, known, None, bound(0.0), run.settled)
            if run.action == "start" and rule is not None:
                found.append(Further(key, run.since, rule))
        return tuple(found)

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
