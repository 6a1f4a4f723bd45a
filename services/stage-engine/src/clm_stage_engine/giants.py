"""People of very many touchpoints: folding them again takes long, and must not hold up others.

The folding is done in a thread of its own, so that the loop goes on with leases, relays, requests
and other partitions; and the transaction, which holds no lock before the fence, may take its time.
Of those who have even more the batch notes only what is new, and marks them to be folded again:
that is done beside the partition's batches (`aside`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import asynccontextmanager
from typing import Final, ParamSpec, TypeVar
from uuid import UUID

from clm_common.runtime.handler import Connection
from clm_common.store.database import unhurried
from clm_stage_engine.profiles import LOST, Entry
from clm_stage_engine.store import reading

LONG: Final = 5_000
"""Touchpoints that are folded at once; more of them take longer than others should wait."""

HUGE: Final = 20_000
"""Touchpoints of whoever is folded again beside the batches: others should not wait for it."""

Given = ParamSpec("Given")
Result = TypeVar("Result")


async def apart(
    touchpoints: int, work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs
) -> Result:
    """Do pure work about so many touchpoints: at once, or in a thread where that takes long.

    Nobody else may touch what it is given until it is done.
    """
    if touchpoints < LONG:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)


def is_giant(touchpoints: int) -> bool:
    """Tell whether others should not wait for the folding of so many."""
    return touchpoints >= HUGE


async def have_very_many(tx: Connection, identities: Collection[UUID]) -> bool:
    """Tell whether it would take a giant's time to fold the stored touchpoints of identities."""
    return is_giant(await reading.count_touchpoints(tx, identities, HUGE))


def is_put_off(entry: Entry) -> bool:
    """Tell whether somebody waits to be folded again beside the batches."""
    return entry.definition == LOST and is_giant(entry.touchpoints)


def lost(entry: Entry, touchpoints: int = 0) -> Entry:
    """Give a giant's next version, to be folded again beside the batches.

    Until that is done they stand where they stood.

    Args:
        entry: the profile as it stands.
        touchpoints: how many more it has now, as far as is known.
    """
    count = max(HUGE, entry.touchpoints + touchpoints)
    return entry.advanced(entry.state, count, LOST, historical=entry.historical)


@asynccontextmanager
async def given_time(tx: Connection, touchpoints: int) -> AsyncGenerator[None]:
    """Let a transaction that has written nothing yet read and fold so many touchpoints."""
    if touchpoints < LONG:
        yield
    else:
        async with unhurried(tx):
            yield
