"""Leases between real processes: killed, frozen, thawed, started, stopped; never two owners."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import pytest

from clm_common.store.database import Database
from tests.support.fences import SCHEMA, create_schema, until_even, wrongs
from tests.support.forking import Forked, fork

PARTITIONS = 6
PROMISE = 6.0
"""Seconds within which every partition has one owner again."""


class Crowd:
    """The workers of one test."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.processes: dict[str, Forked] = {}

    async def start(self, *owners: str, stall: str | None = None) -> None:
        for owner in owners:
            options = ("--stall", stall) if stall else ()
            self.processes[owner] = await fork(
                "tests.support.lease_worker", {}, self._url, owner, *options
            )

    def send(self, owner: str, number: signal.Signals) -> None:
        os.kill(self.processes[owner].pid, number)

    async def says(self, owner: str, word: str) -> None:
        """Wait until a worker says something."""
        stdout = self.processes[owner].stdout
        async with asyncio.timeout(20):
            while line := await stdout.readline():
                if word in line.decode():
                    return
        raise AssertionError(f"{owner} ended without saying {word}")

    async def end(self) -> None:
        for process in self.processes.values():
            if process.returncode is None:
                process.kill()
            await process.stdout.read()
            await process.wait()


@pytest.fixture
async def db(database_url: str) -> AsyncGenerator[Database]:
    await create_schema(database_url)
    async with Database(database_url, schema=SCHEMA, name="observer") as db:
        yield db


@pytest.fixture
async def crowd(database_url: str, db: Database) -> AsyncGenerator[Crowd]:
    del db  # makes the schema
    async with AsyncExitStack() as stack:
        crowd = Crowd(database_url)
        stack.push_async_callback(crowd.end)
        yield crowd


async def test_workers_that_start_at_once_share_the_partitions_evenly(
    db: Database, crowd: Crowd
) -> None:
    await crowd.start("ann", "bob", "cid", "dan")
    for owner in ("ann", "bob", "cid", "dan"):
        await crowd.says(owner, "beat")

    await until_even(db, {"ann", "bob", "cid", "dan"}, PARTITIONS, within=PROMISE)

    assert await wrongs(db) == []


async def test_a_worker_that_joins_gets_its_share(db: Database, crowd: Crowd) -> None:
    await crowd.start("ann")
    await until_even(db, {"ann"}, PARTITIONS, within=15)

    await crowd.start("bob")
    await crowd.says("bob", "beat")

    await until_even(db, {"ann", "bob"}, PARTITIONS, within=PROMISE)
    assert await wrongs(db) == []


async def test_a_killed_worker_is_replaced_within_six_seconds(db: Database, crowd: Crowd) -> None:
    await crowd.start("ann", "bob", "cid")
    await until_even(db, {"ann", "bob", "cid"}, PARTITIONS, within=20)

    crowd.send("bob", signal.SIGKILL)

    await until_even(db, {"ann", "cid"}, PARTITIONS, within=PROMISE)
    assert await wrongs(db) == []


async def test_a_worker_that_stops_hands_over_within_two_seconds(
    db: Database, crowd: Crowd
) -> None:
    await crowd.start("ann", "bob")
    await until_even(db, {"ann", "bob"}, PARTITIONS, within=20)

    crowd.send("bob", signal.SIGTERM)

    await until_even(db, {"ann"}, PARTITIONS, within=2)
    assert await crowd.processes["bob"].wait() == 0
    assert await wrongs(db) == []


async def test_a_frozen_worker_is_replaced_and_shares_again_when_it_thaws(
    db: Database, crowd: Crowd
) -> None:
    await crowd.start("ann", "bob")
    await until_even(db, {"ann", "bob"}, PARTITIONS, within=20)

    crowd.send("bob", signal.SIGSTOP)
    await until_even(db, {"ann"}, PARTITIONS, within=PROMISE)
    await asyncio.sleep(1)
    crowd.send("bob", signal.SIGCONT)

    await until_even(db, {"ann", "bob"}, PARTITIONS, within=PROMISE)
    assert await wrongs(db) == []


@pytest.mark.parametrize("stall", ["copy", "row"])
async def test_a_worker_frozen_inside_a_transaction_cannot_hold_its_partition(
    db: Database, crowd: Crowd, stall: str
) -> None:
    await crowd.start("bob", stall=stall)
    await crowd.says("bob", "stalled")
    await crowd.start("ann")
    await until_even(db, {"ann", "bob"}, PARTITIONS, within=20)

    crowd.send("bob", signal.SIGSTOP)
    await until_even(db, {"ann"}, PARTITIONS, within=PROMISE)
    crowd.send("bob", signal.SIGCONT)

    await crowd.says("bob", "unavailable")
    await until_even(db, {"ann", "bob"}, PARTITIONS, within=PROMISE)
    assert await wrongs(db) == []


async def test_everything_killed_at_once_is_owned_again_by_successors(
    db: Database, crowd: Crowd
) -> None:
    await crowd.start("ann", "bob")
    await until_even(db, {"ann", "bob"}, PARTITIONS, within=20)

    crowd.send("ann", signal.SIGKILL)
    crowd.send("bob", signal.SIGKILL)
    await crowd.start("cid", "dan")
    await crowd.says("cid", "beat")
    await crowd.says("dan", "beat")

    await until_even(db, {"cid", "dan"}, PARTITIONS, within=PROMISE)
    assert await wrongs(db) == []
