"""Readiness: the pings decide, within a second, and a crowd of probes costs one ping."""

from __future__ import annotations

import asyncio

import pytest

from clm_common.errors import Unavailable
from clm_common.runtime import probes as probes_module
from clm_common.runtime.probes import Ping, Probes


def running(**pings: Ping) -> Probes:
    probes = Probes("shop")
    probes.pings = pings
    probes.state = "running"
    return probes


class Server:
    """A server that answers pings as it is told."""

    def __init__(self, error: Exception | None = None, *, hangs: bool = False) -> None:
        self.error = error
        self.hangs = hangs
        self.pinged = 0

    async def ping(self) -> None:
        self.pinged += 1
        if self.hangs:
            await asyncio.sleep(3600)
        if self.error is not None:
            raise self.error


async def test_a_service_is_ready_when_every_server_answers() -> None:
    report = await running(postgres=Server().ping, kafka=Server().ping).report()

    assert report.ready
    assert [check.ok for check in report.checks.values()] == [True, True]


async def test_one_server_that_is_away_makes_it_unready_and_is_named() -> None:
    away = Server(Unavailable("kafka.away", "no broker"))

    report = await running(postgres=Server().ping, kafka=away.ping).report()

    assert not report.ready
    assert report.checks["postgres"].ok
    assert report.checks["kafka"].reason == "kafka.away"


async def test_a_server_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes_module, "PATIENCE", 0.05)

    report = await running(kafka=Server(hangs=True).ping).report()

    assert report.checks["kafka"].reason == "ping.timeout"


async def test_a_defect_in_a_ping_makes_it_unready_not_broken() -> None:
    report = await running(kafka=Server(LookupError("oops")).ping).report()

    assert report.checks["kafka"].reason == "LookupError"


@pytest.mark.parametrize("state", ["starting", "stopping"])
async def test_a_service_that_starts_or_ends_is_not_ready(state: probes_module.State) -> None:
    probes = running(postgres=Server().ping)
    probes.state = state

    report = await probes.report()

    assert (report.ready, report.state) == (False, state)


async def test_a_crowd_of_probes_costs_one_ping() -> None:
    server = Server()
    probes = running(postgres=server.ping)

    await asyncio.gather(*[probes.report() for _ in range(50)])

    assert server.pinged == 1


async def test_an_answer_is_not_kept_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes_module, "FRESH", 0.01)
    server = Server()
    probes = running(postgres=server.ping)
    assert (await probes.report()).ready

    server.error = Unavailable("database.away", "gone")
    await asyncio.sleep(0.02)

    assert not (await probes.report()).ready
