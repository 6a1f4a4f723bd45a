"""What comes too late: kept apart before anything is decided, so that no identity rests on it."""

from __future__ import annotations

from collections.abc import Sequence

from clm_common.contracts.touchpoint import HISTORICAL
from clm_common.runtime.handler import Connection
from clm_stage_engine.arrivals import Arrival
from clm_stage_engine.core.keeping import Keeping
from clm_stage_engine.core.memories import NEVER
from clm_stage_engine.retention import Retention
from clm_stage_engine.store import lateness
from clm_stage_engine.store.ids import profile_id
from clm_stage_engine.store.lateness import Late


class Lateness:
    """Judges touchpoints by their envelopes, and by what has been folded away already."""

    def __init__(self, keeping: Keeping, retention: Retention) -> None:
        """Make it.

        Args:
            keeping: says how late touchpoints may come.
            retention: says from when on the history is kept in fact: only where it was to be kept
                longer since, or a topic keeps more than its week, is that less than `keeping` says.
        """
        self._keeping = keeping
        self._retention = retention

    async def part(
        self, tx: Connection, arrivals: Sequence[Arrival]
    ) -> tuple[list[Arrival], list[Late]]:
        """Part those that count from those to be kept as late.

        A late repeat of what counted or is kept already is in neither.
        """
        await self._retention.refresh(tx)
        punctual, floor = self._keeping.punctual, self._retention.highest
        taken = [
            it
            for it in arrivals
            if (it.received - it.time <= punctual and it.time >= floor) or not self._late(it)
        ]
        if len(taken) == len(arrivals):
            return taken, []
        late = [_late(it) for it in arrivals if self._late(it)]
        return taken, await lateness.unknown(tx, late)

    def _late(self, it: Arrival) -> bool:
        return it.time < self._retention.floor.get(it.workspace, NEVER) or self._keeping.is_late(
            it.workspace,
            it.source,
            time=it.time,
            received=it.received,
            imported=HISTORICAL in it.marks,
        )


def _late(arrival: Arrival) -> Late:
    key = arrival.user or arrival.anonymous
    assert key is not None  # noqa: S101 - what names nobody was refused
    return Late(arrival, profile_id(*key))
