"""People of very many touchpoints: folding them again takes long, and must not hold up others.

The folding is done in a thread of its own, so that the loop goes on with leases, relays, requests
and other partitions; and the transaction, which holds no lock before the fence, may take its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Final, ParamSpec, TypeVar

from clm_common.runtime.handler import Connection
from clm_common.store.database import unhurried

LONG: Final = 5_000
"""Touchpoints that are folded at once; more of them take longer than others should wait."""

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


@asynccontextmanager
async def given_time(tx: Connection, touchpoints: int) -> AsyncGenerator[None]:
    """Let a transaction that has written nothing yet read and fold so many touchpoints."""
    if touchpoints < LONG:
        yield
    else:
        async with unhurried(tx):
            yield
