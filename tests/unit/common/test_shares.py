"""The fair share: it adds up, is even, stays put, and everybody who follows it gets there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clm_common.store.shares import fair_share

WORKERS = st.lists(st.sampled_from("abcdefghij"), min_size=1, unique=True)
PARTITIONS = st.integers(0, 40)


@st.composite
def holdings(draw: st.DrawFn) -> tuple[dict[str, int], int]:
    """Draw who holds how many of so many partitions; some may be free."""
    partitions = draw(PARTITIONS)
    held: dict[str, int] = {}
    left = partitions
    for worker in draw(WORKERS):
        held[worker] = draw(st.integers(0, left))
        left -= held[worker]
    return held, partitions


def shares(held: dict[str, int], partitions: int) -> dict[str, int]:
    return {worker: fair_share(held, worker, partitions) for worker in held}


@given(holdings())
def test_shares_add_up_to_all_partitions(case: tuple[dict[str, int], int]) -> None:
    held, partitions = case

    assert sum(shares(held, partitions).values()) == partitions


@given(holdings())
def test_no_share_differs_from_another_by_more_than_one(case: tuple[dict[str, int], int]) -> None:
    found = shares(*case).values()

    assert max(found) - min(found) <= 1


@given(WORKERS, PARTITIONS)
def test_an_even_distribution_stays_as_it_is(workers: list[str], partitions: int) -> None:
    quotient, remainder = divmod(partitions, len(workers))
    held = {each: quotient + (rank < remainder) for rank, each in enumerate(workers)}

    assert shares(held, partitions) == held


@given(holdings(), st.data())
def test_workers_that_follow_their_shares_in_any_order_soon_hold_them(
    case: tuple[dict[str, int], int], data: st.DataObject
) -> None:
    held, partitions = case
    rounds = 0
    while sorted(held.values()) != sorted(shares(held, partitions).values()):
        for worker in data.draw(st.permutations(sorted(held))):
            free = partitions - sum(held.values())
            held[worker] = min(fair_share(held, worker, partitions), held[worker] + free)
        rounds += 1
        assert rounds <= 3
