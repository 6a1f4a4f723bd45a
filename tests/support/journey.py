"""What has passed on the river, as its subscribers see it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from clm_common.bus.kafka import KafkaSettings, PartitionReader
from clm_common.contracts import journey
from clm_common.contracts.journey import TouchpointApplied
from clm_common.contracts.topics import JOURNEY

QUIET = 4
"""Looks in vain, of half a second each, after which nothing more is expected."""


async def applied(bootstrap: str, workspace: str, count: int) -> Sequence[TouchpointApplied]:
    """Give a workspace's counted touchpoints once there are so many and it has become quiet."""
    landed: list[TouchpointApplied] = []
    async with PartitionReader(KafkaSettings(bootstrap=bootstrap)) as reader:
        ends = await reader.end_offsets(JOURNEY.name)
        reader.assign({(JOURNEY.name, partition): 0 for partition in ends})
        async with asyncio.timeout(60):
            quiet = 0
            while len(landed) < count or quiet < QUIET:
                found = await reader.read(limit=5_000, wait=0.5)
                facts = [journey.decode(it.value or b"") for each in found.values() for it in each]
                fresh = [it for it in facts if isinstance(it, TouchpointApplied)]
                landed += [it for it in fresh if it.workspace == workspace]
                quiet = 0 if facts else quiet + 1
    return landed
