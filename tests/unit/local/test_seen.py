"""Reading the touchpoints of a time: from there on, and no more than that."""

from __future__ import annotations

import pytest

from clm_common.bus.memory import MemoryBroker, MemoryReader
from clm_common.clock import ManualClock
from clm_common.instant import DAY, to_datetime
from clm_local import seen
from tests.support.touchpoints import touchpoint

NOW = 20_400 * DAY


def broker_of(days: int) -> MemoryBroker:
    """Make a broker on which a touchpoint of each of two customers arrived every day."""
    clock = ManualClock(NOW)
    broker = MemoryBroker(clock=clock)
    for day in range(days):
        clock.set(NOW + day * DAY)
        broker.append_all([touchpoint(clock.now(), user=it, event=f"E{day}") for it in "ab"])
    return broker


@pytest.mark.parametrize(("since", "until", "days"), [(7, None, 3), (7, 9, 2), (10, None, 0)])
async def test_what_was_received_before_is_not_even_read(
    since: int, until: int | None, days: int
) -> None:
    looked: list[tuple[int, int]] = []
    wanted = seen.Range(
        "local",
        since=to_datetime(NOW + since * DAY),
        until=None if until is None else to_datetime(NOW + until * DAY),
    )

    def report(done: int, total: int) -> None:
        looked.append((done, total))

    found = [it async for it in seen.records(MemoryReader(broker_of(10)), wanted, report)]

    assert len(found) == 2 * days
    assert [total for _, total in looked[-1:]] == ([2 * (10 - since)] if since < 10 else [])


async def test_without_a_time_everything_is_read() -> None:
    wanted = seen.Range("local")

    reader = MemoryReader(broker_of(3))
    found = [it async for it in seen.records(reader, wanted, lambda _done, _total: None)]

    assert len(found) == 6
