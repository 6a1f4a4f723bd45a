"""The Kafka adapter: the only place that imports aiokafka.

| module | gives |
|---|---|
| `settings` | how to reach and trust the brokers |
| `records`, `batches` | record batches, written by hand |
| `producer` | `GroupProducer`, the group-commit producer |
| `reader` | `PartitionReader`, which reads partitions under somebody else's lease |
| `publisher` | `TransactionalPublisher`, one partition's facts exactly once |
| `admin` | creates and checks the topics |
"""

from clm_common.bus.kafka.producer import GroupProducer
from clm_common.bus.kafka.publisher import TransactionalPublisher
from clm_common.bus.kafka.reader import PartitionReader
from clm_common.bus.kafka.settings import KafkaSettings

__all__ = [
    "GroupProducer",
    "KafkaSettings",
    "PartitionReader",
    "TransactionalPublisher",
]
