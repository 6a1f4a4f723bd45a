"""The rules by which a batch goes: which definitions decide about whom, at one instant.

One lifecycle is the main one; others may run beside it, everywhere or in one workspace.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from msgspec import Struct

from clm_stage_engine.beside import runs_by
from clm_stage_engine.core.beside import Beside
from clm_stage_engine.core.eras import Course, Place
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.profiles import Entry
from clm_stage_engine.running import Running


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


class Further(Struct, frozen=True):
    """A lifecycle that runs beside the main one.

    Attributes:
        key: its name in the system.
        began: what happened before this instant (µs) is history to it.
        rule: what decides.
    """

    key: str
    began: int
    rule: Rule

    def beside(self, profile: UUID) -> Beside:
        """Give it as it decides about somebody."""
        return Beside(self.key, self.began, self.rule.running(profile).course)


class Sweep(Struct, frozen=True):
    """An act after which everybody is looked at.

    Attributes:
        number: the act's: a publication, the start or the stop of a lifecycle.
        workspace: whose people; None for everybody.
        settled: every process goes by it.
    """

    number: int
    workspace: str | None
    settled: bool


class Rules(Struct, frozen=True):
    """What decides, at one instant.

    Attributes:
        default: the installation's main lifecycle, for workspaces that published nothing.
        of: what decides by the main lifecycle in the other workspaces.
        several: another lifecycle runs beside it somewhere, or once did.
        further: what runs beside it where a workspace has nothing of its own, by key.
        differing: what runs beside it in the other workspaces, likewise.
        sweeps: the acts after which everybody is looked at.
    """

    default: Running
    of: Mapping[str, Rule] = {}
    several: bool = False
    further: tuple[Further, ...] = ()
    differing: Mapping[str, tuple[Further, ...]] = {}
    sweeps: tuple[Sweep, ...] = ()

    def course(self, workspace: str, profile: UUID) -> Course:
        """Give the definitions of the main lifecycle that decide about somebody, in turn."""
        rule = self.of.get(workspace) if self.of else None
        return self.default.course if rule is None else rule.running(profile).course

    def others(self, workspace: str, profile: UUID) -> tuple[Beside, ...] | None:
        """Give the lifecycles that decide beside it, by key; None where none ever ran."""
        if not self.several:
            return None
        found = self.differing.get(workspace, self.further)
        return tuple(it.beside(profile) for it in found)

    def places(self, entry: Entry) -> list[Place] | None:
        """Tell where somebody stands: in the main lifecycle, then in the others.

        None where they must be folded again: another course folded them, or other lifecycles run.
        """
        main = self.course(entry.workspace, entry.id).place(entry.definition, entry.state)
        if main is None:
            return None
        others = self.others(entry.workspace, entry.id)
        if others is None:
            return [main]
        if not runs_by(entry, others):
            return None
        found = [
            it.course.place(at.definition, at.state)
            for it, at in zip(others, entry.further or (), strict=False)
        ]
        every = [main, *(it for it in found if it is not None)]
        return every if len(every) == len(found) + 1 else None

    def running(self, workspace: str, key: str | None = None) -> Running | None:
        """Give what decides about a workspace's people, but for those of a canary.

        Args:
            workspace: whose people.
            key: by which lifecycle; by default the main one.

        Returns:
            None where it does not run there.
        """
        if key is None or key == self.default.lifecycle.key:
            return self.main(workspace)
        every = self.beside(workspace)
        return next((it.rule.whole for it in every if it.key == key), None)

    def definitions(self, workspace: str, key: str) -> list[Lifecycle]:
        """Give the definitions that decide, or decided, about some of a workspace's people.

        Args:
            workspace: whose people.
            key: by which lifecycle; it runs there.

        Returns:
            The newest first, a canary's last.
        """
        if key == self.default.lifecycle.key:
            rule = self.of.get(workspace)
        else:
            rule = next(it.rule for it in self.beside(workspace) if it.key == key)
        every = (self.default, None) if rule is None else (rule.whole, rule.canary)
        return [era.lifecycle for it in every if it for era in reversed(it.course.eras)]

    def main(self, workspace: str) -> Running:
        """Give what decides by the main lifecycle; see `running`."""
        rule = self.of.get(workspace)
        return self.default if rule is None else rule.whole

    def beside(self, workspace: str) -> tuple[Further, ...]:
        """Give the lifecycles that run beside the main one in a workspace."""
        return self.differing.get(workspace, self.further)
