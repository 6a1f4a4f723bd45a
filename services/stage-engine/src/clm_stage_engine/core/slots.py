"""What a slot of facts remembers, in numbers that outlive the definition that laid it out.

A snapshot is read again by definitions that did not exist when it was made. Each slot is named by
a digest of what it remembers; what another definition remembers under the same name is carried
over, everything else begins blank.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from hashlib import sha256

from msgspec import Struct

from clm_stage_engine.core.facts import Facts, Memory, Tally
from clm_stage_engine.core.memories import Summed, Tallied, Watch


class Slot(Struct, frozen=True, gc=False, array_like=True):
    """A slot's name; of one that counts, also what it counts of its touchpoints.

    Attributes:
        name: tells what is remembered from anything else.
        counts: it counts without a window.
        sums: the properties whose amounts it keeps, and whether without a window, too.
    """

    name: int
    counts: bool = False
    sums: tuple[tuple[int, bool], ...] = ()


def name_of(what: object) -> int:
    """Give 63 bits that tell data apart by what it says."""
    return int.from_bytes(sha256(repr(what).encode()).digest()[:8], "big") >> 1


def carry(
    facts: Facts, was: Sequence[Slot], slots: Sequence[Slot], watches: Sequence[Watch]
) -> tuple[Facts, bool]:
    """Carry facts over to other slots.

    Args:
        facts: what is remembered.
        was: its slots.
        slots: those of another definition.
        watches: what these remember.

    Returns:
        The facts for the other definition, and whether all that it asks for was remembered.
    """
    known = {slot.name: (slot, memory) for slot, memory in zip(was, facts, strict=True)}
    carried: list[Memory] = []
    complete = True
    for slot, watch in zip(slots, watches, strict=True):
        found = known.get(slot.name)
        if found is None:
            carried.append(watch.blank())
            complete = False
        elif isinstance(watch, Tallied):
            carried.append(_tallied(*found, slot, watch))
            complete = complete and {it[0] for it in slot.sums} <= {it[0] for it in found[0].sums}
        else:
            carried.append(found[1])
    return tuple(carried), complete


def _tallied(was: Slot, memory: Memory, slot: Slot, watch: Tallied) -> Memory:
    """Carry a count over: where it was not counted, at least what is remembered happened."""
    total = memory.total if was.counts else len(memory.times)
    known = {
        path: _total(tally, counted=counted)
        for (path, counted), tally in zip(was.sums, memory.tallies, strict=True)
    }
    return Memory(
        total if watch.total else 0,
        memory.times[-watch.keep :] if watch.keep else (),
        tuple(
            _trimmed(known.get(path, Tally()), summed)
            for (path, _), summed in zip(slot.sums, watch.sums, strict=True)
        ),
    )


def _total(tally: Tally, *, counted: bool) -> Tally:
    if counted:
        return tally
    return Tally(Decimal(sum(tally.amounts)), tally.times, tally.amounts)


def _trimmed(tally: Tally, summed: Summed) -> Tally:
    total = tally.total if summed.total else Decimal(0)
    return Tally(total) if summed.window is None else Tally(total, tally.times, tally.amounts)
