"""The two sides of a comparison: a definition as it would decide, and what it is held against."""

from __future__ import annotations

from collections.abc import Mapping

from clm_common.errors import DefinitionError
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.eras import Course, Era, Policy, table
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.governing import Board
from clm_stage_engine.store import versions


async def held_against(
    db: Connection, board: Board, workspace: str, key: str, number: int | None
) -> Course:
    """Give a version of a workspace, or what decides there now.

    That is the lifecycle of this key where it runs, else the main one; without a canary.

    Raises:
        Rejected: 404; there is no such version.
        DefinitionError: it cannot be right by this release.
        Unavailable: PostgreSQL is away.
    """
    if number is not None:
        version = await versions.get(db, workspace, key, number)
        return Course.of(board.compile(version.yaml))
    running = await board.running(workspace, key)
    rules = board.rules
    return (running or rules.running(workspace) or rules.default).course


def tried(
    lifecycle: Lifecycle, against: Course, policy: Policy, mapping: Mapping[str, str], at: int
) -> Course:
    """Give a definition as it would decide, published by a policy at an instant (µs).

    Raises:
        DefinitionError: a stage has no counterpart, or there is no such stage.
    """
    if policy == "re-derive":
        return Course.of(lifecycle)
    stages: Mapping[str, str] = {}
    if policy != "pin":
        found = table(against.living, lifecycle, mapping)
        if found.unknown or found.missing:
            what = ", ".join(found.unknown) or ", ".join(found.missing)
            why = "there is no stage" if found.unknown else "no counterpart for"
            message = (
                f"{why} {what}; map old stages to new ones: --map OLD=NEW, or `mapping` over HTTP"
            )
            raise DefinitionError("diff.mapping", message)
        stages = found.stages
    return Course((*against.eras, Era(lifecycle, at, policy, stages)))
