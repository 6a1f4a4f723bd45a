"""The write keys in memory."""

import asyncio
from collections.abc import Sequence

import pytest

from clm_common.clock import ManualClock
from clm_common.errors import Rejected, Unavailable
from clm_common.instant import HOUR, from_rfc3339, to_datetime
from clm_ingest.core.credentials import digest_of
from clm_ingest.keyring import FRESH, Keyring
from clm_ingest.store import Keys

NOW = from_rfc3339("2026-11-22T10:00:00Z")


class Store:
    """What the keys are read from; it may be away."""

    def __init__(self, *keys: Keys) -> None:
        self.keys = keys
        self.away = False
        self._reads = asyncio.Semaphore(0)

    async def was_read(self, times: int) -> None:
        """Wait until it was asked so many times more."""
        async with asyncio.timeout(5):
            for _ in range(times):
                await self._reads.acquire()

    async def read(self) -> Sequence[Keys]:
        self._reads.release()
        if self.away:
            raise Unavailable("database.away", "PostgreSQL is away")
        return self.keys


def rotated(old: str, new: str, until: int) -> Keys:
    return Keys("s-1", "acme", digest_of(new), digest_of(old), to_datetime(until), disabled=False)


def keys_of(key: str, source: str = "s-1") -> Keys:
    return Keys(source, "acme", digest_of(key), None, None, disabled=False)


def slug_of(keyring: Keyring, key: str) -> str:
    with pytest.raises((Rejected, Unavailable)) as refusal:
        keyring.find(key)
    return refusal.value.slug


async def test_a_replaced_key_is_taken_until_its_grace_ends() -> None:
    clock = ManualClock(NOW)
    keyring = Keyring(Store(rotated("wk_old", "wk_new", NOW + HOUR)).read, clock)
    await keyring.refresh()

    clock.set(NOW + HOUR - 1)
    taken = keyring.find("wk_old").source
    clock.set(NOW + HOUR)

    assert taken == "s-1"
    assert slug_of(keyring, "wk_old") == "write_key.replaced"
    assert keyring.find("wk_new").source == "s-1"


async def test_a_key_that_vanished_from_the_store_is_unknown() -> None:
    store = Store(keys_of("wk_1"), keys_of("wk_2", "s-2"))
    keyring = Keyring(store.read, ManualClock(NOW))
    await keyring.refresh()
    store.keys = (keys_of("wk_2", "s-2"),)

    await keyring.refresh()

    assert slug_of(keyring, "wk_1") == "write_key.unknown"
    assert keyring.find("wk_2").source == "s-2"


async def test_an_unknown_key_is_refused_only_while_the_keys_are_fresh() -> None:
    clock = ManualClock(NOW)
    keyring = Keyring(Store(keys_of("wk_1")).read, clock)
    before = slug_of(keyring, "wk_2")

    await keyring.refresh()
    clock.set(NOW + FRESH)
    fresh = slug_of(keyring, "wk_2")
    clock.set(NOW + FRESH + 1)
    stale = slug_of(keyring, "wk_2")

    assert (before, fresh, stale) == ("keys.away", "write_key.unknown", "keys.away")
    assert keyring.find("wk_1").source == "s-1"


async def test_the_keys_stay_fresh_through_an_outage_until_told_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("clm_ingest.keyring.REFRESH", 0.001)
    store, stop = Store(keys_of("wk_1")), asyncio.Event()
    keyring = Keyring(store.read, ManualClock(NOW))
    store.away = True
    task = asyncio.create_task(keyring.stay_fresh(stop))

    await store.was_read(3)
    store.away = False
    await store.was_read(2)
    stop.set()
    await task

    assert keyring.find("wk_1").source == "s-1"


async def test_a_read_that_began_before_a_key_was_made_does_not_take_it_away_again() -> None:
    answers: list[asyncio.Future[Sequence[Keys]]] = []

    async def read() -> Sequence[Keys]:
        answers.append(asyncio.get_running_loop().create_future())
        return await answers[-1]

    keyring = Keyring(read, ManualClock(NOW))
    before, after = (asyncio.create_task(keyring.refresh()) for _ in range(2))
    await asyncio.sleep(0)

    answers[1].set_result([keys_of("wk_new")])
    await after
    answers[0].set_result([])
    await before

    assert keyring.find("wk_new").source == "s-1"
