"""All write keys in memory, read again every second, so that admitting costs no query.

A change is seen by every process within two seconds. While PostgreSQL is away the known keys keep
working; an unknown one may then have been created elsewhere, so it is answered "not now" and never
"no": a 401 makes SDKs drop their events.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from clm_common.clock import Clock
from clm_common.errors import Rejected, Unavailable
from clm_common.instant import SECOND, from_datetime
from clm_common.runtime.freshness import Reading, keep_fresh
from clm_ingest.core.credentials import digest_of
from clm_ingest.core.inbound import HookKeys
from clm_ingest.core.rules import Rules
from clm_ingest.store import Keys

REFRESH: Final = 1.0
"""Seconds between two readings of the keys."""

PATIENCE: Final = 5.0
"""Seconds a reading may take before it is given up and tried again."""

FRESH: Final = 3 * SECOND
"""µs after which what is not in memory may well exist."""


class Keyring:
    """The write keys as they were read last."""

    def __init__(self, read: Callable[[], Awaitable[Sequence[Keys]]], clock: Clock) -> None:
        """Make an empty one.

        Args:
            read: gives the keys of all sources; may raise `Unavailable`.
            clock: tells whether a rotated key is still taken and the keys are fresh.
        """
        self._read = read
        self._clock = clock
        self._by_digest: dict[bytes, Keys] = {}
        self._by_source: dict[str, Keys] = {}
        self._hooks: dict[str, tuple[HookKeys, Keys]] = {}
        self._read_at: int | None = None
        self._asked = self._taken = 0  # reads begun, and the newest of those that are in memory

    def find(self, write_key: str) -> Keys:
        """Give the source that a write key belongs to.

        Raises:
            Rejected: 401 if it is unknown, was replaced, or the source is disabled.
            Unavailable: it is not among the known keys, and these could not be read lately.
        """
        digest = digest_of(write_key)
        found = self._by_digest.get(digest)
        if found is None:
            self.check_fresh()
            raise Rejected(401, "write_key.unknown", "no source has this write key")
        if found.disabled:
            raise Rejected(401, "write_key.disabled", "the source of this write key is disabled")
        if digest != found.digest and not _in_grace(found, self._clock.now()):
            raise Rejected(401, "write_key.replaced", "this write key was replaced by another")
        return found

    def has(self, workspace: str, source: str) -> bool:
        """Tell whether a workspace has a source, disabled or not."""
        keys = self._by_source.get(source)
        return keys is not None and keys.workspace == workspace

    def rules_of(self, source: str) -> Rules | None:
        """Give what a source's events are held against; None where everything may pass."""
        keys = self._by_source.get(source)
        return None if keys is None else keys.rules

    def hook(self, name: str) -> tuple[HookKeys, Keys] | None:
        """Give a hook and its source by the hook's id; None if it is not among the known ones."""
        return self._hooks.get(name)

    @property
    def sealed(self) -> Sequence[str]:
        """The ids of the hooks whose secrets cannot be decrypted here."""
        return [hook.id for hook, _ in self._hooks.values() if hook.sealed]

    def check_fresh(self) -> None:
        """Return if what is not in memory does not exist.

        Raises:
            Unavailable: it may well: the store could not be read lately.
        """
        if self._read_at is None or self._clock.now() - self._read_at > FRESH:
            raise Unavailable("keys.away", "the write keys cannot be read at present")

    async def refresh(self) -> None:
        """Read the keys now.

        Of two reads at the same time the one that began later counts, whichever ends first: a
        change that was stored before it must not be forgotten again.

        Raises:
            Unavailable: the store is away; the keys stay as they were.
        """
        self._asked += 1
        mine = self._asked
        found = await self._read()
        if mine < self._taken:
            return
        self._taken = mine
        fresh = {keys.previous: keys for keys in found if keys.previous is not None}
        fresh |= {keys.digest: keys for keys in found}
        self._by_digest = fresh
        self._by_source = {keys.source: keys for keys in found}
        self._hooks = {hook.id: (hook, keys) for keys in found for hook in keys.hooks}
        self._read_at = self._clock.now()

    async def stay_fresh(self, stop: asyncio.Event) -> None:
        """Read the keys again and again until told to stop; a store that is away is waited for."""
        how = Reading(REFRESH, PATIENCE, kept="keys.away", back="keys.back")
        await keep_fresh(self.refresh, how, stop)


def _in_grace(keys: Keys, now: int) -> bool:
    return keys.previous_until is not None and now < from_datetime(keys.previous_until)
