"""What is too late is told by the envelope alone, and never reaches what is dropped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clm_common.instant import DAY
from clm_stage_engine.core import months
from clm_stage_engine.core.keeping import ANY_DAYS, FOR_EVER, Keeping, cut

NOW = 20_400 * DAY
INSTANTS = st.integers(5_000 * DAY, 40_000 * DAY)
KEEPING = st.builds(
    Keeping,
    st.integers(1, 60) | st.just(FOR_EVER),
    st.just({}) | st.just({"w": 3}) | st.just({"w": FOR_EVER}),
    st.integers(1, 400) | st.just(ANY_DAYS),
    st.just({}) | st.just({"s": 7}) | st.just({"s": ANY_DAYS}),
)


def is_late(keeping: Keeping, time: int, received: int, *, imported: bool = False) -> bool:
    return keeping.is_late("w", "s", time=time, received=received, imported=imported)


@given(KEEPING, INSTANTS, st.integers(-10, 2000 * DAY), st.integers(0, 1000 * DAY))
def test_what_counted_when_it_came_was_kept_then(
    keeping: Keeping, received: int, delay: int, earlier: int
) -> None:
    time = received - delay

    if not is_late(keeping, time, received):
        kept_from = keeping.cut("w", received)
        assert kept_from is None or time >= kept_from
        assert not is_late(keeping, time, max(time, received - earlier)), "sooner is not later"


@given(KEEPING, INSTANTS, st.integers(0, 2000 * DAY))
def test_what_is_punctual_is_never_late(keeping: Keeping, received: int, delay: int) -> None:
    time = received - min(delay, keeping.punctual)

    assert not is_late(keeping, time, received)
    assert not is_late(keeping, time, received, imported=True)


def test_each_source_and_workspace_may_differ() -> None:
    keeping = Keeping(25, {"acme": 3}, 90, {"offline": 200})

    def late(days: int, workspace: str = "local", source: str = "web") -> bool:
        return keeping.is_late(
            workspace, source, time=NOW - days * DAY, received=NOW, imported=False
        )

    assert [late(90), late(91)] == [False, True]
    assert [late(200, source="offline"), late(201, source="offline")] == [False, True]
    assert [late(80, "acme"), late(130, "acme", "offline")] == [False, True]


def test_an_import_may_be_as_old_as_the_history_and_no_older() -> None:
    keeping = Keeping(25, days=30)
    oldest = cut(25, NOW)

    assert oldest is not None
    assert is_late(keeping, oldest, NOW)
    assert not is_late(keeping, oldest, NOW, imported=True)
    assert is_late(keeping, oldest - 1, NOW, imported=True)


@given(INSTANTS, st.integers(1, 60))
def test_the_cut_is_where_a_month_begins_and_keeps_as_many_as_asked(now: int, keep: int) -> None:
    at = cut(keep, now)

    assert at is not None
    month = months.month_of(at)
    assert months.span(month)[0] == at
    assert not months.expired(month, now, keep)
    assert months.expired(month - 1, now, keep)


def test_who_keeps_for_ever_has_no_cut() -> None:
    assert cut(FOR_EVER, NOW) is None
    assert not is_late(Keeping(), 0, NOW)
