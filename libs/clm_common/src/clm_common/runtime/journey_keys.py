"""The keys of a sealed river: asked of stage-engine, many at a time, and remembered for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.request import ProxyHandler, Request, build_opener
from uuid import UUID

import msgspec
from msgspec import Struct

from clm_common.contracts.sealing import MOST_KEYS, Seal
from clm_common.errors import Unavailable
from clm_common.settings_river import RiverSettings

MOST: Final = 50_000
"""Keys remembered; a key takes about half a kilobyte."""

LONGEST: Final = 600.0
"""Seconds after which all are asked for again: no longer does a deleted key stay in memory."""

_PATIENCE: Final = 5.0


class _Given(Struct, frozen=True):
    keys: dict[UUID, str | None]


class JourneyKeys:
    """Gives people's keys by their ids."""

    def __init__(self, url: str | None, token: Path | None) -> None:
        """Asks nobody yet.

        Args:
            url: where stage-engine is; None where nobody said so.
            token: a file with a bearer token, read each time.
        """
        self._url = url
        self._token = token
        self._known: dict[UUID, Seal | None] = {}
        self._since = time.monotonic()

    @classmethod
    def of(cls, settings: RiverSettings) -> JourneyKeys:
        """Make what a service's settings describe."""
        return cls(settings.journey_keys_url, settings.journey_keys_token)

    async def __call__(self, names: Collection[UUID]) -> Mapping[UUID, Seal | None]:
        """Give keys, None for each that was deleted.

        Raises:
            Unavailable: stage-engine does not answer or refuses, or nobody said where it is.
        """
        if len(self._known) > MOST or time.monotonic() - self._since > LONGEST:
            self._known, self._since = {}, time.monotonic()
        missing = [it for it in names if it not in self._known]
        for begin in range(0, len(missing), MOST_KEYS):
            some = missing[begin : begin + MOST_KEYS]
            self._known |= await asyncio.to_thread(self._ask, some)
        return self._known

    def _ask(self, names: Sequence[UUID]) -> dict[UUID, Seal | None]:
        request = self._request(names)
        try:
            with build_opener(ProxyHandler({})).open(request, timeout=_PATIENCE) as answer:
                given = msgspec.json.decode(answer.read(), type=_Given).keys
            found = {
                it: None if key is None else Seal(it, _bytes(key)) for it, key in given.items()
            }
        except (OSError, HTTPException, ValueError) as error:
            message = f"{self._url} gives no keys of the river: {error}"
            raise Unavailable("journey.keys_away", message) from error
        if len(found) < len(names):
            raise Unavailable("journey.keys_away", f"{self._url} left out keys that it was asked")
        return found

    def _request(self, names: Sequence[UUID]) -> Request:
        if self._url is None or self._token is None:
            message = (
                "the river is sealed: set CLM_JOURNEY_KEYS_URL to stage-engine's address, and "
                "CLM_JOURNEY_KEYS_TOKEN to a file with a token with the scope journey:keys"
            )
            raise Unavailable("journey.keys_unset", message)
        try:
            token = self._token.read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            message = f"CLM_JOURNEY_KEYS_TOKEN={self._token} cannot be read: {error}"
            raise Unavailable("journey.keys_unset", message) from error
        return Request(  # noqa: S310 - the setting's pattern allows http and https alone
            f"{self._url.rstrip('/')}/v1/journey-keys",
            data=msgspec.json.encode({"ids": names}),
            headers={"authorization": f"Bearer {token}", "content-type": "application/json"},
        )


def _bytes(key: str) -> bytes:
    return bytes.fromhex(key)
