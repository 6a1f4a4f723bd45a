"""The ledger against a naive recount: any order, repetition, split or retraction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from uuid import uuid5

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from clm_common.contracts.stage_change import StageChange
from clm_common.instant import DAY, from_rfc3339
from clm_metrics.core.calendar import Calendar, to_date
from clm_metrics.core.entry import Entry, Person, entry_of
from clm_metrics.core.ledger import ENTRIES, POSITION, PRESENT, REACHED, Cell, settle, timeline
from tests.support.river import Recount, batches, change, path, retraction
from tests.support.river_cases import rivers


class Books:
    """What a store would hold: the register of entries and the figures, batch after batch."""

    def __init__(self, zone: str = "UTC") -> None:
        self._calendars = {name: Calendar(zone) for name in ("acme", "other")}
        self._register: dict[tuple[Person, object], Entry] = {}
        self.figures: Counter[Cell] = Counter()

    def book(self, messages: Iterable[StageChange]) -> None:
        arrived = [entry_of(each) for each in messages]
        touched = {entry.person for entry in arrived}
        known = [entry for entry in self._register.values() if entry.person in touched]
        settled = settle(known, arrived, self._calendars)
        self._register |= {(entry.person, entry.id): entry for entry in settled.entries}
        for cell, value in settled.deltas.items():
            self.figures[cell] += value

    def standing(self) -> dict[Cell, int]:
        return {cell: value for cell, value in self.figures.items() if value}

    def total(self, measure: str, *, until: str = "9999-12-31") -> Counter[str]:
        found: Counter[str] = Counter()
        for cell, value in self.figures.items():
            if cell.measure == measure and to_date(cell.day).isoformat() <= until:
                found[cell.stage] += value
        return +found


def booked(*messages: Sequence[StageChange], zone: str = "UTC") -> Books:
    books = Books(zone)
    for batch in messages:
        books.book(batch)
    return books


@given(rivers(), st.lists(st.integers(0, 60), max_size=4), st.data())
def test_figures_are_a_function_of_the_set_of_messages(
    river: list[StageChange], cuts: list[int], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations([*river, *data.draw(st.lists(st.sampled_from(river)))]))

    in_order = booked(river)
    by_chance = booked(*batches(shuffled, cuts))

    assert by_chance.standing() == in_order.standing()


@given(rivers(), st.sampled_from(("UTC", "Europe/Berlin", "America/New_York", "Pacific/Auckland")))
def test_figures_equal_a_naive_recount(river: list[StageChange], zone: str) -> None:
    books = booked(*([each] for each in river), zone=zone)

    recount = Recount(river, zone=zone)
    entries = {
        (cell.stage, to_date(cell.day).isoformat()): value
        for cell, value in books.standing().items()
        if cell.measure == ENTRIES
    }
    days = {recount.day(each) for each in river}
    assert entries == recount.entries()
    assert books.total(PRESENT) == recount.people()
    assert books.total(REACHED) == recount.reached()
    assert all(books.total(PRESENT, until=day) == recount.people(until=day) for day in days)


@given(rivers())
def test_a_river_taken_back_leaves_nothing(river: list[StageChange]) -> None:
    last = {each.id: each for each in sorted(river, key=lambda each: each.version)}

    books = booked(river, [retraction(each, version=1_000) for each in last.values()])

    assert books.standing() == {}


def test_a_batch_that_is_read_again_changes_nothing() -> None:
    river = path("ada", ("2026-11-01T10:00:00Z", "reach"), ("2026-11-02T10:00:00Z", "acquisition"))
    arrived = [entry_of(each) for each in river]
    first = settle([], arrived, {"acme": Calendar("UTC")})

    again = settle(first.entries, arrived, {"acme": Calendar("UTC")})

    assert first.deltas
    assert again.entries == ()
    assert again.deltas == {}


def test_a_retraction_that_arrives_before_its_assertion_still_wins() -> None:
    seen = change("ada", "2026-11-01T10:00:00Z", "reach")

    books = booked([retraction(seen)], [seen])

    assert books.standing() == {}


def test_a_late_entry_moves_the_person_on_the_day_it_belongs_to() -> None:
    river = path(
        "ada",
        ("2026-11-01T10:00:00Z", "reach"),
        ("2026-11-03T10:00:00Z", "acquisition"),
        ("2026-11-09T10:00:00Z", "conversion"),
    )

    books = booked([river[0], river[2]], [river[1]])

    assert books.total(PRESENT, until="2026-11-02") == {"reach": 1}
    assert books.total(PRESENT, until="2026-11-08") == {"acquisition": 1}
    assert books.total(PRESENT) == {"conversion": 1}


def test_an_emptied_profile_counts_nowhere_once_its_changes_are_retracted() -> None:
    device = path(
        "device", ("2026-11-01T10:00:00Z", "reach"), ("2026-11-01T11:00:00Z", "acquisition")
    )
    ada = path("ada", ("2026-11-02T10:00:00Z", "reach"))
    merged = path("ada", ("2026-11-01T10:00:00Z", "reach"), ("2026-11-01T11:00:00Z", "acquisition"))

    books = booked(
        device + ada,
        [retraction(each) for each in device],
        [retraction(each) for each in ada] + merged,
    )

    assert books.standing() == booked(merged).standing()
    assert books.total(PRESENT) == {"acquisition": 1}
    assert books.total(REACHED) == {"reach": 1, "acquisition": 1}


def test_within_one_instant_a_person_appears_then_lapses_then_moves() -> None:
    noon = "2026-11-01T12:00:00Z"
    appeared = change("ada", noon, "reach", cause="m-1")
    lapsed = change("ada", noon, "reach", source="conversion", cause=None)
    moved = change("ada", noon, "acquisition", source="reach", cause="m-1")
    again = change("ada", noon, "conversion", source="acquisition", cause="m-2")

    found = timeline(entry_of(each) for each in (again, moved, lapsed, appeared))

    assert [entry.target for entry in found] == ["reach", "reach", "acquisition", "conversion"]
    assert [entry.cause for entry in found] == ["m-1", None, "m-1", "m-2"]


def test_a_person_who_returns_to_a_stage_has_reached_it_once() -> None:
    books = booked(
        path(
            "ada",
            ("2026-11-01T10:00:00Z", "reach"),
            ("2026-11-02T10:00:00Z", "conversion"),
            ("2026-11-03T10:00:00Z", "acquisition"),
            ("2026-11-04T10:00:00Z", "conversion"),
        )
    )

    assert books.total(ENTRIES) == {"reach": 1, "conversion": 2, "acquisition": 1}
    assert books.total(REACHED) == {"reach": 1, "conversion": 1, "acquisition": 1}
    assert books.total(POSITION) == {"conversion": 1, "acquisition": 2}
    assert books.total(PRESENT) == {"conversion": 1}


def test_workspaces_and_lifecycles_are_counted_apart() -> None:
    at = "2026-11-01T10:00:00Z"

    books = booked(
        [
            change("ada", at, "reach"),
            change("ada", at, "reach", workspace="other"),
            change("ada", at, "awareness", lifecycle="awareness-5"),
        ]
    )

    present = {cell for cell in books.standing() if cell.measure == PRESENT}
    day = from_rfc3339(at) // DAY
    assert present == {
        Cell("acme", "reach", PRESENT, "reach", day),
        Cell("other", "reach", PRESENT, "reach", day),
        Cell("acme", "awareness-5", PRESENT, "awareness", day),
    }


@given(rivers(), rivers(), st.lists(st.integers(0, 60), max_size=4), st.data())
def test_lifecycles_of_the_same_people_and_stages_do_not_touch_one_anothers_figures(
    main: list[StageChange], beside: list[StageChange], cuts: list[int], data: st.DataObject
) -> None:
    other = [replace(each, lifecycle="beside", id=uuid5(each.id, "beside")) for each in beside]
    together = data.draw(st.permutations([*main, *other]))

    books = booked(*batches(together, cuts))

    assert books.standing() == booked(main).standing() | booked(other).standing()


def test_an_entry_a_second_before_local_midnight_counts_for_that_day() -> None:
    before = change("ada", "2026-03-29T21:59:59Z", "reach")
    after = change("bob", "2026-03-29T22:00:00Z", "reach")

    books = booked([before, after], zone="Europe/Berlin")

    days = {to_date(cell.day).isoformat() for cell in books.standing()}
    assert days == {"2026-03-29", "2026-03-30"}
