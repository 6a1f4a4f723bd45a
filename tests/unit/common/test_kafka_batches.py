"""Batches keep the order per key, however calls come, and refuse what is too large."""

import pytest
from aiokafka.record.default_records import DefaultRecordBatch
from hypothesis import given
from hypothesis import strategies as st

from clm_common.bus.columns import Columns
from clm_common.bus.kafka.batches import Batches
from clm_common.bus.ports import Shared
from clm_common.contracts.topics import partition_of
from clm_common.errors import InvalidMessage

PARTITIONS = {"t": 3, "u": 2}
SHARED = Shared((("ce_source", b"shop"),))


def kept(topic: str, names: tuple[str, ...], keys: list[bytes], first: int) -> Columns:
    """Keep messages by column whose values are numbers."""
    columns = Columns(topic, names)
    for value, key in enumerate(keys, first):
        columns.keys.append(key)
        columns.values.append(str(value).encode())
        columns.shared.append(SHARED)
        for column in columns.headers:
            column.append(b"own")
    return columns


calls = st.lists(
    st.tuples(
        st.sampled_from(["t", "u"]),
        st.sampled_from([("ce_id",), ("ce_id", "ce_time")]),
        st.lists(st.sampled_from([b"a", b"b", b"c", b"d"]), max_size=12),
        st.booleans(),
    ),
    max_size=12,
)


@given(calls)
def test_every_message_is_in_its_partition_in_the_order_of_the_calls(
    made: list[tuple[str, tuple[str, ...], list[bytes], bool]],
) -> None:
    batches = Batches(compression="snappy")
    wanted: dict[tuple[str, int], list[tuple[bytes, bytes, list[tuple[str, bytes]]]]] = {}
    number = 0
    for topic, names, keys, by_column in made:
        messages = kept(topic, names, keys, number)
        number += len(keys)
        for it in messages:
            place = topic, partition_of(it.key, PARTITIONS[topic])
            wanted.setdefault(place, []).append((it.key, it.value, list(it.all_headers())))

        batches.add(messages if by_column else [*messages], PARTITIONS)

    found = {
        (topic, partition): [
            (it.key, it.value, list(it.headers)) for it in DefaultRecordBatch(batch._build())
        ]
        for topic, partition, batch in batches
    }
    assert found == wanted


def test_messages_that_a_call_keeps_are_not_those_of_the_next_call() -> None:
    batches = Batches(compression=None)
    first = kept("t", ("ce_id",), [b"a"], 0)

    batches.add(first, PARTITIONS)
    batches.add(kept("t", ("ce_id",), [b"b"], 1), PARTITIONS)

    assert [it.key for it in first] == [b"a"]


@pytest.mark.parametrize("where", ["own", "shared"])
def test_a_message_that_is_too_large_by_its_headers_is_refused_by_the_call_itself(
    where: str,
) -> None:
    batches = Batches(compression=None)
    batches.add(kept("t", ("ce_id",), [b"a"], 0), PARTITIONS)
    large = kept("t", ("ce_id",), [b"b"], 1)
    if where == "own":
        large.headers[0][0] = b"x" * 2**20
    else:
        large.shared[0] = Shared((("h", b"x" * 2**20),))

    with pytest.raises(InvalidMessage):
        batches.add(large, PARTITIONS)

    assert sum(batch.record_count() for _, _, batch in batches) == 1
