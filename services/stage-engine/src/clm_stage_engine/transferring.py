"""What a publication does with the stages that people are in: each needs one to go over to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from clm_common.errors import Rejected
from clm_common.runtime.handler import Connection
from clm_stage_engine.core.eras import Policy, table
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.governing import Board
from clm_stage_engine.queries import overview
from clm_stage_engine.store import eras
from clm_stage_engine.store.versions import Version

_GOING: Final = frozenset({"map", "drain"})
"""Policies by which people in flight go over to another stage."""


async def going_over(
    tx: Connection,
    board: Board,
    version: Version,
    lifecycle: Lifecycle,
    policy: Policy,
    said: Mapping[str, str],
) -> Mapping[str, str]:
    """Give the new stage for every stage that people may be in; empty where nobody goes over.

    Args:
        tx: the transaction of the publication.
        board: puts together what decides now.
        version: what is published.
        lifecycle: its definition.
        policy: what becomes of people in flight.
        said: the new stage for old ones, as far as somebody said.

    Raises:
        DefinitionError: what decides now cannot be right by this release.
        Rejected: 422; a stage has no counterpart, or there is no such stage.
    """
    if policy not in _GOING:
        if said:
            message = f"by the policy {policy} nobody changes the stage; leave the mapping out"
            raise Rejected(422, "lifecycle.mapping_unused", message)
        return {}
    deciding = await eras.deciding(tx, version.key, version.workspace)
    whole = next((it for it in deciding if it.share is None), None)
    if whole is None:
        return {}
    before = board.assemble(whole).course.living
    found = table(before, lifecycle, said)
    if found.unknown:
        names = ", ".join(found.unknown)
        message = f"the mapping names stages that there are not: {names}; it maps old to new"
        raise Rejected(422, "lifecycle.stage_unknown", message)
    if found.missing:
        main = board.rules.default.lifecycle.key
        beside = None if version.key == main else version.key
        raise await _missing(tx, version, found.missing, beside)
    return found.stages


async def _missing(
    tx: Connection, version: Version, stages: Sequence[str], beside: str | None
) -> Rejected:
    people = await overview.people_in(tx, version.workspace, beside)
    counted = ", ".join(f"{it} ({people.get(it, 0)} people)" for it in stages)
    return Rejected(
        422,
        "lifecycle.stage_unmapped",
        f"version {version.number} has no counterpart for {counted}; map each to one of its stages",
        people={it: people.get(it, 0) for it in stages},
    )
