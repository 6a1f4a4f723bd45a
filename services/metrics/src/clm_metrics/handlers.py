"""Metrics on one partition of the river: what a batch of messages does to the figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from clm_common.bus.ports import Record
from clm_common.contracts import journey
from clm_common.contracts.journey import ProfileErased
from clm_common.contracts.stage_change import StageChange
from clm_common.errors import InvalidMessage
from clm_common.runtime.handler import Connection, Refusal
from clm_common.store.forgotten import Limits, is_forgotten, limit_of, load_limits
from clm_common.store.offsets import Claim
from clm_metrics import store
from clm_metrics.core.calendar import Calendar, Zones
from clm_metrics.core.entry import Entry, entry_of
from clm_metrics.core.ledger import Settlement, settle


class Decided(Struct, frozen=True):
    """What a batch changes; nothing is written yet.

    Attributes:
        partition: whose owner decided.
        settlement: the entries and figures that change.
        calendars: what the days were counted by.
        newcomers: workspaces seen for the first time, and their time zones.
        refused: records that can never be processed.
        erased: whom to forget; what they added to the figures is taken back by the settlement.
    """

    partition: int
    settlement: Settlement
    calendars: Mapping[str, Calendar]
    newcomers: Mapping[str, str]
    refused: Sequence[Refusal]
    erased: Sequence[ProfileErased] = ()

    @property
    def facts(self) -> int:
        """Nothing is published."""
        return 0

    async def write(self, tx: Connection, first_seq: int) -> None:  # noqa: ARG002 - a Batch's
        """Write the entries and add to the figures.

        Raises:
            RaceLost: an entry or a workspace's time zone has changed since it was read.
        """
        await store.add_workspaces(tx, self.newcomers)
        await store.book(tx, self.partition, self.settlement, self.calendars)
        await store.forget(tx, self.erased)

    def committed(self) -> None:
        """Nothing is kept in memory."""


class JourneyHandler:
    """Decides about one partition of `clm.journey`; keeps nothing between two batches.

    Only stage changes count. When an identity moves to another profile, the changes of the profile
    that lost it are retracted and those of the one that gained it corrected, each by a message of
    its own; so `identity_moved` needs no counting.
    """

    def __init__(self, partition: int, zones: Zones) -> None:
        """Make the handler of a partition.

        Args:
            partition: its number.
            zones: the time zones of workspaces seen for the first time.
        """
        self._partition = partition
        self._zones = zones

    async def decide(self, tx: Connection, records: Sequence[Record]) -> Decided:
        """Settle the stage changes among some records.

        Raises:
            Unavailable: a newer release keeps the figures.
        """
        arrived, erased, refused = _take_in(records)
        profiles = {it.person.profile for it in arrived} | {it.profile_id for it in erased}
        limits = await load_limits(tx, profiles, erased)
        arrived = [it for it in arrived if not is_forgotten(limits, it.person.profile, it.version)]
        arrived += await _taken_back(tx, erased, limits)
        people = {entry.person for entry in arrived}
        workspaces = {person.workspace for person in people}
        calendars = await store.calendars(tx, workspaces) if workspaces else {}
        newcomers = {each: self._zones.of(each) for each in workspaces - calendars.keys()}
        calendars |= {each: Calendar(zone) for each, zone in newcomers.items()}
        known = await store.known_entries(tx, people)
        settlement = settle(known, arrived, calendars)
        return Decided(self._partition, settlement, calendars, newcomers, refused, erased)

    async def wake(self, tx: Connection) -> None:
        """Nothing falls due by time alone."""

    def forget(self) -> None:
        """Nothing is kept in memory."""

    async def close(self) -> None:
        """Nothing is open."""


async def open_handler(zones: Zones, claim: Claim) -> JourneyHandler:
    """Make the handler of a partition that was just taken."""
    return JourneyHandler(claim.partition, zones)


async def _taken_back(
    tx: Connection, erased: Sequence[ProfileErased], limits: Limits
) -> list[Entry]:
    """Retract everything that is kept of erased people; it is deleted when that is counted."""
    known = await store.entries_of(tx, {it.profile_id for it in erased})
    return [
        replace(it, version=limits[it.person.profile].version, retracted=True)
        for it in known
        if is_forgotten(limits, it.person.profile, it.version)
    ]


def _take_in(
    records: Sequence[Record],
) -> tuple[list[Entry], list[ProfileErased], list[Refusal]]:
    """Read stage changes and erasures out of records; what cannot be read or kept is refused."""
    entries: list[Entry] = []
    erased: list[ProfileErased] = []
    refused: list[Refusal] = []
    for record in records:
        try:
            message = journey.decode(record.value or b"")
            if isinstance(message, StageChange):
                entries.append(entry_of(message))
            elif isinstance(message, ProfileErased):
                limit_of(message)
                erased.append(message)
        except InvalidMessage as error:
            refused.append(Refusal(record, error))
    return entries, erased, refused
