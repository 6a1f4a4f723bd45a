"""The window of ids: exact, per source, and bounded."""

from __future__ import annotations

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from clm_ingest.core.window import PER_ID, Window

SHOP: Final = ("acme", "shop")
CRM: Final = ("acme", "crm")

ids = st.lists(st.binary(min_size=1, max_size=2), max_size=8)
steps = st.lists(st.tuples(st.sampled_from([SHOP, CRM]), ids, st.booleans()), max_size=40)


@given(steps)
def test_with_room_enough_it_knows_exactly_what_it_was_told_and_not_told_to_forget(
    taken: list[tuple[tuple[str, str], list[bytes], bool]],
) -> None:
    window = Window(10**9)
    remembered: set[tuple[tuple[str, str], bytes]] = set()
    for source, each, forgotten in taken:
        known = window.take(source, each)

        assert known == {it for it in each if (source, it) in remembered}
        if forgotten:
            window.forget(source, set(each) - known)
        else:
            remembered |= {(source, it) for it in each}


@given(st.integers(2, 50), st.integers(1, 400))
def test_it_knows_what_came_last_and_never_holds_more_than_it_may(room: int, count: int) -> None:
    window = Window(2 * room * (PER_ID + 4))
    for number in range(count):
        window.take(SHOP, [b"%04d" % number])

    known = {number for number in range(count) if Window.take(window, SHOP, [b"%04d" % number])}
    held = sum(map(len, (*window._recent.values(), *window._older.values())))

    assert held <= 2 * (room + 1)
    assert len(known) <= 2 * (room + 1)


def test_the_newest_are_known_though_older_ones_are_forgotten() -> None:
    window = Window(20 * (PER_ID + 4))
    for number in range(1_000):
        window.take(SHOP, [b"%04d" % number])

    assert window.take(SHOP, [b"0999", b"0000"]) == {b"0999"}


def test_without_room_nothing_is_remembered() -> None:
    window = Window(0)
    window.take(SHOP, [b"a"])

    assert window.take(SHOP, [b"a"]) == set()
