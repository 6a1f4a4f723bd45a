"""Repeats at ingest's outlet: held back early, never at the price of an event."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import pytest

from clm_common import telemetry
from clm_common.bus.memory import MemoryBroker, MemoryProducer
from clm_common.bus.ports import Message
from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.errors import InvalidMessage, Rejected, Unavailable
from clm_ingest.core.admission import Verdicts
from clm_ingest.core.window import Window
from clm_ingest.outlet import Outlet

SHOP: Final = ("acme", "shop")
CRM: Final = ("acme", "crm")


class Gated:
    """A producer whose acknowledgements the test gives."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.open = asyncio.Event()
        self.fault: Exception | None = None
        self._inner = MemoryProducer(self.broker)

    async def publish(self, messages: Sequence[Message]) -> None:
        await self.open.wait()
        if self.fault is not None:
            raise self.fault
        await self._inner.publish(messages)

    async def ping(self) -> None:
        """Be there."""

    def landed(self) -> list[str]:
        return [(it.value or b"").decode() for it in self.broker.records(TOUCHPOINTS.name)]


@pytest.fixture
def kafka() -> Gated:
    return Gated()


@pytest.fixture
def outlet(kafka: Gated) -> Outlet:
    return Outlet(kafka, Window(1_000_000))


def admitted(*ids: str) -> Verdicts:
    keys = [each.encode() for each in ids]
    return Verdicts([Message(TOUCHPOINTS.name, b"acme:u", each) for each in keys], [], keys)


def counted(verdict: str) -> float:
    return (
        telemetry.REGISTRY.get_sample_value("clm_ingest_events_total", {"verdict": verdict}) or 0.0
    )


async def test_what_is_acknowledged_is_not_published_again(kafka: Gated, outlet: Outlet) -> None:
    kafka.open.set()
    before = counted("admitted"), counted("repeated")

    await outlet.put(SHOP, admitted("a", "b"))
    await outlet.put(SHOP, admitted("b", "c", "c"))

    assert sorted(kafka.landed()) == ["a", "b", "c"]
    assert (counted("admitted"), counted("repeated")) == (before[0] + 3, before[1] + 2)


async def test_another_source_may_use_the_same_id(kafka: Gated, outlet: Outlet) -> None:
    kafka.open.set()

    await outlet.put(SHOP, admitted("a"))
    await outlet.put(CRM, admitted("a"))
    await outlet.put(("other", "shop"), admitted("a"))

    assert kafka.landed() == ["a", "a", "a"]


async def test_what_was_not_acknowledged_is_published_when_it_comes_again(
    kafka: Gated, outlet: Outlet
) -> None:
    kafka.open.set()
    kafka.fault = Unavailable("bus.away", "Kafka is away")
    with pytest.raises(Unavailable):
        await outlet.put(SHOP, admitted("a", "b"))

    kafka.fault = None
    await outlet.put(SHOP, admitted("a", "b"))

    assert kafka.landed() == ["a", "b"]


async def test_a_repeat_of_what_is_on_its_way_waits_for_the_same_outcome(
    kafka: Gated, outlet: Outlet
) -> None:
    first = asyncio.create_task(outlet.put(SHOP, admitted("a")))
    await asyncio.sleep(0)
    second = asyncio.create_task(outlet.put(SHOP, admitted("a")))
    await asyncio.sleep(0.01)

    waited = not second.done()
    kafka.open.set()
    await asyncio.gather(first, second)

    assert waited
    assert kafka.landed() == ["a"]


async def test_a_repeat_of_what_does_not_land_is_not_acknowledged_either(
    kafka: Gated, outlet: Outlet
) -> None:
    kafka.fault = Unavailable("bus.away", "Kafka is away")
    first = asyncio.create_task(outlet.put(SHOP, admitted("a")))
    await asyncio.sleep(0)
    second = asyncio.create_task(outlet.put(SHOP, admitted("a", "b")))
    await asyncio.sleep(0)
    kafka.open.set()

    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    kafka.fault = None
    await outlet.put(SHOP, admitted("a", "b"))

    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    assert kafka.landed() == ["a", "b"]


async def test_a_cancelled_request_leaves_nothing_remembered(kafka: Gated, outlet: Outlet) -> None:
    broken_off = asyncio.create_task(outlet.put(SHOP, admitted("a")))
    await asyncio.sleep(0)
    repeat = asyncio.create_task(outlet.put(SHOP, admitted("a")))
    await asyncio.sleep(0)

    broken_off.cancel()
    kafka.open.set()

    with pytest.raises(Unavailable):
        await repeat
    await outlet.put(SHOP, admitted("a"))
    assert kafka.landed() == ["a"]


async def test_an_event_too_large_for_kafka_is_refused_and_not_remembered(
    kafka: Gated, outlet: Outlet
) -> None:
    kafka.open.set()
    kafka.fault = InvalidMessage("bus.oversize", "too large")
    with pytest.raises(Rejected) as refused:
        await outlet.put(SHOP, admitted("a"))

    kafka.fault = None
    await outlet.put(SHOP, admitted("a"))

    assert refused.value.status == 413
    assert kafka.landed() == ["a"]
