"""Firing deadlines: whoever moves on is advanced; who is stale or goes over is folded again."""

from __future__ import annotations

from collections.abc import Sequence

from clm_common.runtime.handler import Connection
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.folding import expire, refold
from clm_stage_engine.gathering import load_pasts
from clm_stage_engine.giants import apart, given_time
from clm_stage_engine.governing import Rules
from clm_stage_engine.journal import Journal
from clm_stage_engine.profiles import Entry


async def fire(
    tx: Connection,
    rules: Rules,
    due: Sequence[Entry],
    stale: Sequence[Entry],
    journal: Journal,
    now: int,
) -> list[Entry]:
    """Give the next version of everybody whose deadline is due or whose folding is out of date.

    Args:
        tx: the batch's transaction.
        rules: what decides.
        due: those with a deadline at or before now.
        stale: others who are to be folded again.
        journal: takes the facts.
        now: the instant, µs.
    """
    again = [(it, 0) for it in stale]
    onward: list[tuple[Lifecycle, Entry]] = []
    for it in due:
        place = rules.course(it.workspace, it.id).place(it.definition, it.state)
        if place is None or place.drains:
            again.append((it, 0 if place is None else now))
        else:
            onward.append((place.lifecycle, it))
    folded: list[Entry] = []
    async with given_time(tx, sum(it.touchpoints for it, _ in again)):
        pasts = await load_pasts(tx, [it.id for it, _ in again], [])
        for it, until in again:
            course, past = rules.course(it.workspace, it.id), pasts[it.id]
            size = len(past.touches)
            folded.append(await apart(size, refold, course, it, past, (), journal, now=until))
    return [*folded, *(expire(lifecycle, it, now, journal) for lifecycle, it in onward)]
