"""Record batches written by hand are those that aiokafka writes, byte for byte."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from clm_common.bus.columns import Columns
from clm_common.bus.kafka.records import Compression, Encoded, RecordBatch, bodies_of
from clm_common.bus.ports import Message, Shared

TIME: Final = 1_795_000_000_000
CODES: Final[dict[Compression | None, int]] = {None: 0, "gzip": 1, "snappy": 2, "zstd": 4}

Header = tuple[str, bytes | None]

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
values = st.binary(max_size=300)
headers = st.lists(st.tuples(names, values), max_size=4)
shared = st.none() | st.builds(Shared, headers)
messages = st.lists(
    st.builds(Message, st.just("t"), values, values, headers, shared), min_size=1, max_size=30
)


def theirs(
    sent: Sequence[Message], codec: Compression | None, *, transactional: bool = False
) -> bytes:
    """Give aiokafka's bytes, uncompressed where compression does not make them fewer."""
    plain = _theirs(sent, None, transactional=transactional)
    return min(plain, _theirs(sent, codec, transactional=transactional), key=len)


def _theirs(sent: Sequence[Message], codec: Compression | None, *, transactional: bool) -> bytes:
    builder = DefaultRecordBatchBuilder(
        2,
        CODES[codec],
        is_transactional=int(transactional),
        producer_id=7,
        producer_epoch=3,
        base_sequence=11,
        batch_size=10**9,
    )
    for place, it in enumerate(sent):
        builder.append(place, TIME, it.key, it.value, list[Header](it.all_headers()))
    return bytes(builder.build())


def ours(
    sent: Sequence[Message], codec: Compression | None, *, transactional: bool = False
) -> bytes:
    batch = RecordBatch(time=TIME, limit=10**9, compression=codec, transactional=transactional)
    assert batch.extend(bodies_of(sent, Encoded())) == len(sent)
    batch._set_producer_state(7, 3, 11)
    return bytes(batch._build())


@given(messages, st.sampled_from([None, "snappy", "zstd"]), st.booleans())
def test_a_batch_is_what_aiokafka_writes(
    sent: list[Message],
    codec: Compression | None,
    transactional: bool,  # noqa: FBT001 - a case
) -> None:
    assert ours(sent, codec, transactional=transactional) == theirs(
        sent, codec, transactional=transactional
    )


@given(st.lists(st.tuples(values, values, values, shared), max_size=30), st.integers(0, 20_000))
def test_messages_kept_by_column_are_written_as_any_others(
    rows: list[tuple[bytes, bytes, bytes, Shared | None]], size: int
) -> None:
    kept = Columns("t", ("id", "größe"))
    for key, value, own, in_common in [*rows, (b"k", b"v" * size, b"o" * size, None)]:
        kept.keys.append(key)
        kept.values.append(value)
        kept.shared.append(in_common)
        for column, text in zip(kept.headers, (own, value), strict=True):
            column.append(text)

    assert bodies_of(kept, Encoded()) == bodies_of([*kept], Encoded())
    assert kept[-1:] == [Message("t", b"k", b"v" * size, kept[-1].headers)]


def test_large_messages_are_written_alike_too() -> None:
    noise = random.Random(1).randbytes
    sent = [Message("t", noise(20_000), noise(size), [("h", noise(40_000))]) for size in (1, 10**6)]

    assert ours(sent, "snappy") == theirs(sent, "snappy")


def test_gzip_is_readable_and_numbers_its_records() -> None:
    sent = [Message("t", b"k", b"v" * 100, [("h", b"1")]) for _ in range(50)]

    read = list(DefaultRecordBatch(bytearray(ours(sent, "gzip"))))

    assert [(it.offset, it.timestamp, it.key, it.value, list(it.headers)) for it in read] == [
        (place, TIME, b"k", b"v" * 100, [("h", b"1")]) for place in range(50)
    ]


@pytest.mark.parametrize("size", [100, 5_000])
def test_a_full_batch_takes_no_more_but_an_empty_one_takes_any(size: int) -> None:
    batch = RecordBatch(time=TIME, limit=1_000, compression=None)
    sent = bodies_of([Message("t", b"k", b"v" * size)] * 20, Encoded())

    first = batch.extend(sent)
    second = batch.extend(sent[first:])

    assert 1 <= first < 20
    assert second == 0
    assert batch.record_count() == first
    assert first == 1 or batch.size() <= 1_000


def test_a_batch_that_is_sent_again_has_the_same_bytes() -> None:
    batch = RecordBatch(time=TIME, limit=1_000, compression="snappy")
    batch.extend(bodies_of([Message("t", b"k", b"v")], Encoded()))

    assert batch._build() is batch._build()
