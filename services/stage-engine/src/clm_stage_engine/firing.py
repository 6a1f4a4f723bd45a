"""Firing deadlines: whoever moves on is advanced; who is stale or goes over is folded again."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from clm_common.runtime.handler import Connection
from clm_stage_engine.beside import Way, expire_beside
from clm_stage_engine.core.eras import Place
from clm_stage_engine.folding import expire, refold
from clm_stage_engine.gathering import load_pasts
from clm_stage_engine.giants import apart, given_time, is_giant, lost
from clm_stage_engine.journal import Journal
from clm_stage_engine.kept import Due
from clm_stage_engine.profiles import Entry
from clm_stage_engine.rules import Rules


async def fire(tx: Connection, rules: Rules, due: Due, journal: Journal) -> list[Entry]:
    """Give the next version of everybody whose deadline is due or whose folding is out of date.

    Giants who are stale are put off, and folded again beside the batches.

    Args:
        tx: the batch's transaction.
        rules: what decides.
        due: who they are.
        journal: takes the facts.
    """
    now = due.now
    folded = [lost(it) for it in due.stale if is_giant(it.touchpoints)]
    again = [(it, 0) for it in due.stale if not is_giant(it.touchpoints)]
    onward: list[tuple[Sequence[Place], Entry]] = []
    for it in due.entries:
        places = rules.places(it)
        if places is None or any(place.drains for place in places):
            again.append((it, 0 if places is None else now))
        else:
            onward.append((places, it))
    async with given_time(tx, sum(it.touchpoints for it, _ in again)):
        pasts = await load_pasts(tx, [it.id for it, _ in again])
        for it, until in again:
            course, others = rules.course(it.workspace, it.id), rules.others(it.workspace, it.id)
            past, size = pasts[it.id], len(pasts[it.id].touches)
            folded.append(
                await apart(size, refold, course, it, past, (), journal, now=until, others=others)
            )
    return [*folded, *(_expire(rules, places, it, now, journal) for places, it in onward)]


def _expire(
    rules: Rules, places: Sequence[Place], entry: Entry, now: int, journal: Journal
) -> Entry:
    """Fire somebody's deadlines by each lifecycle; `places` are in the main one and the others."""
    after = expire(places[0].lifecycle, entry, now, journal)
    others = rules.others(entry.workspace, entry.id)
    if not others:
        return after
    ways = [Way(it, at.lifecycle) for it, at in zip(others, places[1:], strict=False)]
    return replace(after, further=expire_beside(ways, entry, now, journal))
