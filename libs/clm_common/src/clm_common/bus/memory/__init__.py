"""A bus in memory that behaves as Kafka does; it passes the same tests as the real one."""

from clm_common.bus.memory.broker import MemoryBroker, MemoryRecord
from clm_common.bus.memory.clients import MemoryProducer, MemoryPublisher, MemoryReader

__all__ = ["MemoryBroker", "MemoryProducer", "MemoryPublisher", "MemoryReader", "MemoryRecord"]
