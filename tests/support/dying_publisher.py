"""A publisher's process that kills itself at a step of its transaction; started by tests."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from aiokafka import AIOKafkaProducer

from clm_common.bus.kafka import KafkaSettings, TransactionalPublisher
from tests.support.buses import messages


async def _before_commit(_: AIOKafkaProducer) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def _during_commit(producer: AIOKafkaProducer) -> None:
    """Let the request leave, and die before the answer can be read."""
    commit = asyncio.create_task(_COMMIT(producer))
    for _ in range(5):
        await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGKILL)
    await commit


_COMMIT = AIOKafkaProducer.commit_transaction
_STEPS = {"before-commit": _before_commit, "during-commit": _during_commit}


async def main(bootstrap: str, topic: str, step: str) -> None:
    """Publish 1 and 2 for good, then die while publishing 3 and 4."""
    publisher = TransactionalPublisher(
        KafkaSettings(bootstrap=bootstrap),
        service=topic,
        partition=0,
        positions=f"{topic}.published",
    )
    await publisher.open()
    await publisher.publish([messages(topic, "1", "2")], seq=2)
    producer_class: Any = AIOKafkaProducer  # Any: a method is replaced for what is left of its life
    producer_class.commit_transaction = _STEPS[step]
    await publisher.publish([messages(topic, "3", "4")], seq=4)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
