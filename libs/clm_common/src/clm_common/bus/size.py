"""How large a message may be, the same for every adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from clm_common.bus.columns import values_of
from clm_common.bus.ports import Message
from clm_common.errors import InvalidMessage

# A broker takes 1,048,588 bytes a batch unless told otherwise; headers of batch and records fit.
BATCH_BYTES: Final = 1_000_000
MESSAGE_BYTES: Final = BATCH_BYTES - 1_000

# Key and headers are only measured where the value comes close: measuring all costs a tenth.
_CLOSE: Final = MESSAGE_BYTES - 32_768
_RECORD_OVERHEAD: Final = 64
_HEADER_OVERHEAD: Final = 10


def measure(messages: Sequence[Message]) -> int:
    """Give the bytes of all values, after making sure that each message fits into a batch.

    Raises:
        InvalidMessage: a message alone is larger than a broker takes.
    """
    sizes = [*map(len, values_of(messages))]
    if max(sizes, default=0) > _CLOSE:
        for message in messages:
            refuse_oversize(message)
    return sum(sizes)


def refuse_oversize(message: Message) -> None:
    """Make sure that a message fits into a batch of its own.

    Raises:
        InvalidMessage: it does not.
    """
    size = _RECORD_OVERHEAD + len(message.key) + len(message.value)
    headers = message.all_headers()
    size += sum(len(name) * 4 + len(value) + _HEADER_OVERHEAD for name, value in headers)
    refuse(message.topic, size)


def refuse(topic: str, size: int) -> None:
    """Make sure that so many bytes fit into a batch of their own.

    Raises:
        InvalidMessage: they do not.
    """
    if size > MESSAGE_BYTES:
        raise InvalidMessage(
            "bus.oversize",
            f"a message of {size} bytes for {topic}; at most {MESSAGE_BYTES} are taken",
            topic=topic,
            size=size,
            limit=MESSAGE_BYTES,
        )
