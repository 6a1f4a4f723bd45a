"""The functions of mappings: money in minor units, sums and differences, exact in decimals."""

from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_ingest.core.hook_functions import OPTIONS

cents = st.integers(-(10**9), 10**9)


def found(text: str, **sent: object) -> Any:  # Any: JSON
    return jmespath.search(text, sent, OPTIONS)


@pytest.mark.parametrize(
    ("amount", "currency", "money"),
    [
        (1999, "eur", 19.99),
        (1999, "USD", 19.99),
        (500, "jpy", 500),
        (500, "krw", 500),
        (500, "clp", 500),
        (500, "mga", 500),
        (500, "ugx", 5),
        (500, "isk", 5),
        (1045, "huf", 10.45),
        (80045, "twd", 800.45),
        (5120, "kwd", 5.12),
        (12345, "bhd", 12.345),
        (1, "jod", 0.001),
        (1, "omr", 0.001),
        (1, "tnd", 0.001),
    ],
)
def test_an_amount_leaves_the_minor_unit_in_which_stripe_counts_its_currency(
    amount: int, currency: str, money: float
) -> None:
    assert found("minor(amount, currency)", amount=amount, currency=currency) == money


@given(st.lists(cents, max_size=8))
def test_a_sum_of_prices_is_exact(amounts: list[int]) -> None:
    prices = [f"{it // 100}.{it % 100:02}" for it in amounts if it >= 0]

    assert found("total(prices)", prices=prices) == sum(it for it in amounts if it >= 0) / 100


@given(cents, st.none() | cents)
def test_a_difference_takes_what_is_absent_for_nothing(amount: int, other: int | None) -> None:
    assert found("minus(a, b)", a=amount, b=other) == amount - (other or 0)


@pytest.mark.parametrize("text", ["Infinity", "NaN", "1e999999999", "1e31"])
def test_what_is_no_amount_of_money_is_refused_at_once(text: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        found("total(prices)", prices=[text])
