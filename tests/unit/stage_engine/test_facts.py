"""Amounts are exact, whatever a sender writes where a number should be."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_stage_engine.core.facts import Memory, Touch, reader, to_amount
from clm_stage_engine.core.memories import Summed, Tallied


@given(st.decimals(-(10**12) + 1, 10**12 - 1, places=8))
def test_an_amount_is_the_number_in_millionths_half_to_even(value: Decimal) -> None:
    expected = (value * 1_000_000).quantize(Decimal(1), ROUND_HALF_EVEN)

    assert to_amount(str(value).encode()) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (b"0", 0),
        (b"-3", -3_000_000),
        (b"19.99", 19_990_000),
        (b"-0.5", -500_000),
        (b"1e3", 1_000_000_000),
        (b"2.5E-6", 2),
        (b"1e-999999999", 0),
        (b"999999999999", 999_999_999_999_000_000),
        (b"1000000000000", None),
        (b"-1e999999999", None),
        (b"true", None),
        (b"null", None),
        (b'"7"', None),
        (b"[7]", None),
        (b"", None),
    ],
)
def test_what_is_no_sensible_number_has_no_amount(number: bytes, expected: int | None) -> None:
    assert to_amount(number) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"properties": {"revenue": 7 }, "x": 1}', 7_000_000),
        (b'{"properties": {"revenue": null}}', None),
        (b'{"properties": {}}', None),
        (b'{"properties": []}', None),
        (b'{"properties": null}', None),
        (b'{"revenue": 7}', None),
        (b"[]", None),
        (b"{", None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_an_amount_is_read_at_its_path_and_nowhere_else(body: bytes, expected: int | None) -> None:
    assert reader(("properties", "revenue"))(body) == expected


@given(st.lists(st.integers(-(10**12) + 1, 10**12 - 1), max_size=60))
def test_a_total_outgrows_sixty_four_bits_without_loss(amounts: list[int]) -> None:
    summed = Summed(reader(("v",)), total=True, window=None)
    watch = Tallied(lambda _: True, total=False, keep=0, sums=(summed,))
    memory: Memory = watch.blank()

    for number, amount in enumerate([10**12 - 1] * 20 + amounts):
        memory = watch.observe(memory, Touch(number, "m", "track", "A", b'{"v": %d}' % amount))

    assert memory.tallies[0].total == (sum(amounts) + 20 * (10**12 - 1)) * 1_000_000
