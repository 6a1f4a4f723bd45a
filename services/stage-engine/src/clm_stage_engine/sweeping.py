"""Folding everybody again after a publication, the start or the stop of a lifecycle.

It goes a stretch of people at a time.

The owner of a partition goes through the people whose deadlines it watches, in the order of their
ids, between the batches of live traffic; how far it is stands in the rows and is written in the
transaction of the stretch. Whoever was folded by what decides about them already is passed over.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Final
from uuid import UUID

from msgspec import Struct

from clm_common.runtime.handler import Connection
from clm_stage_engine.profiles import ERASED, Entry
from clm_stage_engine.rules import Rules, Sweep
from clm_stage_engine.store import reading, standings, sweeps
from clm_stage_engine.store.sweeps import Place

LENGTH: Final = 4_000
"""Ids of all people in a stretch; a partition has its share of them."""

MOST: Final = 20_000
"""Touchpoints that a stretch folds again, one person's excess aside: live traffic waits for it."""


class Stretch(Struct, frozen=True):
    """Some people of a sweep.

    Attributes:
        publication: what it follows from.
        outdated: those to be folded again.
        place: how far the sweep is with it.
        sweeper: takes note once it is committed.
    """

    publication: int
    outdated: list[Entry]
    place: Place
    sweeper: Sweeper

    async def write(self, tx: Connection) -> None:
        """Write how far it is."""
        partition, folded = self.sweeper.partition, len(self.outdated)
        await sweeps.save(tx, self.publication, partition, self.place, folded)

    def committed(self) -> None:
        """Take note that it is done."""
        self.sweeper.places[self.publication] = self.place


class Sweeper:
    """One partition's part in sweeps.

    Attributes:
        partition: whose people.
        places: how far each publication is, as the rows have it.
    """

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.places: dict[int, Place] = {}

    def forget(self) -> None:
        """Read the rows again."""
        self.places.clear()

    async def next(self, tx: Connection, rules: Rules, but: AbstractSet[UUID]) -> Stretch | None:
        """Give the next people to look at; None where there is nothing to sweep.

        Args:
            tx: the batch's transaction.
            rules: what decides.
            but: those whom the batch folds anyway.
        """
        for act in rules.sweeps:
            if act.settled:
                at = self.places.get(act.number)
                if at is None:
                    at = await sweeps.place(tx, act.number, self.partition)
                    self.places[act.number] = at
                if not at.done:
                    return await self._stretch(tx, act, rules, at.after, but)
        return None

    async def _stretch(
        self, tx: Connection, act: Sweep, rules: Rules, after: UUID, but: AbstractSet[UUID]
    ) -> Stretch:
        of = act.workspace
        everybody, upper = await reading.load_stretch(tx, self.partition, of, after, LENGTH)
        if rules.several:
            everybody = await standings.load(tx, everybody)
        outdated: list[Entry] = []
        touchpoints = 0
        for entry in everybody:
            if entry.definition == ERASED or entry.id in but or rules.places(entry) is not None:
                continue
            touchpoints += entry.touchpoints
            if outdated and touchpoints > MOST:
                break
            outdated.append(entry)
        else:
            place = Place(after if upper is None else upper, done=upper is None)
            return Stretch(act.number, outdated, place, self)
        return Stretch(act.number, outdated, Place(outdated[-1].id, done=False), self)
