"""How soon a transaction is tried again that came while the broker was ending the last one."""

from __future__ import annotations

from types import SimpleNamespace

from aiokafka import TopicPartition
from aiokafka.errors import ConcurrentTransactions
from aiokafka.producer.sender import AddPartitionsToTxnHandler

from clm_common.bus.kafka import publisher


def test_a_transaction_that_came_too_early_is_tried_again_soon() -> None:
    manager = SimpleNamespace(txn_partitions=set())
    producer = SimpleNamespace(_txn_manager=manager, _retry_backoff=1.0)
    handler = AddPartitionsToTxnHandler(producer, [TopicPartition("facts", 0)])

    answer = SimpleNamespace(errors=[("facts", [(0, ConcurrentTransactions.errno)])])

    assert handler.handle_response(answer) == publisher.AGAIN < 0.02
