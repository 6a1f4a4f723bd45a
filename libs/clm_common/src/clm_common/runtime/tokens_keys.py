"""Where the public keys of bearer tokens are found.

Services hold public keys only: a JWKS given inline, a file that is read again when it changes, or
the address at which an identity provider publishes its own.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import structlog
from jwt import PyJWK, PyJWKClient
from jwt.exceptions import PyJWKClientError, PyJWTError

from clm_common.errors import SettingsError, Unavailable

log = structlog.get_logger()

ALGORITHMS: Final = frozenset({"EdDSA", "ES256", "RS256"})
"""What a key may sign with; we sign with Ed25519, identity providers often with the others."""

_PATIENCE: Final = 3.0


class Keys(Protocol):
    """Where public keys are found."""

    async def find(self, kid: str | None) -> PyJWK | None:
        """Give the key with this id; without an id, the only key there is.

        Raises:
            Unavailable: whether there is such a key cannot be known now.
        """
        ...


class KeySet:
    """Keys that stay as they are."""

    def __init__(self, found: Mapping[str, PyJWK]) -> None:
        """Hold them.

        Args:
            found: the keys by id.
        """
        self._keys = found

    async def find(self, kid: str | None) -> PyJWK | None:
        """Give the key with this id; without an id, the only key there is."""
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid or "")


class KeyFile:
    """Keys in a file, which is read again as soon as it changes; a broken one changes nothing."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Args:
            path: of a JWKS.

        Raises:
            SettingsError: it cannot be read or is no JWKS.
        """
        self._path = path
        self._stamp = _stamp(path)
        self._keys = KeySet(_read(path))

    async def find(self, kid: str | None) -> PyJWK | None:
        """Give the key with this id as the file has it now."""
        self._refresh()
        return await self._keys.find(kid)

    def _refresh(self) -> None:
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._keys = KeySet(_read(self._path))
        except SettingsError as error:
            log.warning("tokens.file_broken", reason=error.slug, detail=error.message)
        else:
            log.info("tokens.file_read")


class KeyUrl:
    """Keys that an identity provider publishes: fetched when needed, kept when it is away.

    They are fetched again when they are old or when a token names a key that is not among them,
    but not more often than the provider deserves: failures are followed by growing pauses.
    """

    def __init__(
        self, url: str, *, fresh: float = 300.0, pause: float = 5.0, longest: float = 60.0
    ) -> None:
        """Fetch nothing yet.

        Args:
            url: of a JWKS.
            fresh: seconds after which keys are fetched again.
            pause: seconds between two fetches at least.
            longest: seconds that growing pauses grow to.
        """
        self._client = PyJWKClient(url, cache_jwk_set=False, timeout=_PATIENCE)
        self._fresh = fresh
        self._pause = pause
        self._longest = longest
        self._keys: KeySet | None = None
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._failures = 0
        self._turn = asyncio.Lock()

    async def find(self, kid: str | None) -> PyJWK | None:
        """Give the key with this id.

        Raises:
            Unavailable: no key set has been fetched yet and the provider is away.
        """
        if self._keys is None or time.monotonic() - self._fetched_at > self._fresh:
            await self._refresh()
        if self._keys is None:
            raise Unavailable("tokens.provider_away", "the identity provider's keys are not there")
        if (found := await self._keys.find(kid)) is None and await self._refresh():
            found = await self._keys.find(kid)
        return found

    async def _refresh(self) -> bool:
        """Fetch the keys unless that was tried just now; tell whether there are new ones."""
        before = self._fetched_at
        async with self._turn:
            if self._fetched_at > before:
                return True
            if time.monotonic() - self._tried_at < self._wait():
                return False
            self._tried_at = time.monotonic()
            return await self._fetch()

    def _wait(self) -> float:
        return min(self._longest, self._pause * 2.0 ** min(self._failures, 10))

    async def _fetch(self) -> bool:
        try:
            document: object = await asyncio.to_thread(self._client.fetch_data)
            self._keys = KeySet(parse(document))
        except (PyJWKClientError, SettingsError, ValueError) as error:
            self._failures += 1
            log.warning("tokens.fetch_failed", detail=str(error), failures=self._failures)
            return False
        self._failures = 0
        self._fetched_at = time.monotonic()
        return True


class Several:
    """Keys from several places; the first that knows one wins."""

    def __init__(self, places: Sequence[Keys]) -> None:
        """Look in these places.

        Args:
            places: in this order.
        """
        self._places = places

    async def find(self, kid: str | None) -> PyJWK | None:
        """Give the key with this id."""
        for place in self._places:
            if (found := await place.find(kid)) is not None:
                return found
        return None


def keys_of(token_keys: str | None, jwks_url: str | None) -> Keys:
    """Give the keys that the settings name.

    Args:
        token_keys: a JWKS as JSON, or the path of one.
        jwks_url: the address of one.

    Raises:
        SettingsError: `token_keys` is neither.
    """
    places: list[Keys] = []
    if token_keys is not None:
        inline = token_keys.lstrip().startswith("{")
        places.append(
            KeySet(_parse_text(token_keys, "CLM_TOKEN_KEYS"))
            if inline
            else KeyFile(Path(token_keys))
        )
    if jwks_url is not None:
        places.append(KeyUrl(jwks_url))
    return Several(places)


def parse(document: object) -> dict[str, PyJWK]:
    """Read a JWKS; keys we do not take (other uses, other algorithms, secret ones) are left out.

    Raises:
        SettingsError: it is no JWKS, or no key in it can be taken.
    """
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise SettingsError("tokens.no_jwks", 'it is no JWKS: {"keys": [...]} is expected')
    found = {key.key_id: key for entry in entries if (key := _public(entry)) and key.key_id}
    if not found:
        raise SettingsError(
            "tokens.no_key", f"it has no public key with a kid for {', '.join(sorted(ALGORITHMS))}"
        )
    return found


def _public(entry: object) -> PyJWK | None:
    """Read one key of a JWKS, or say None where it is not for verifying signatures."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    try:
        key = PyJWK(entry)
    except PyJWTError:
        return None
    return key if key.algorithm_name in ALGORITHMS else None


def _read(path: Path) -> dict[str, PyJWK]:
    try:
        return _parse_text(path.read_text(), f"CLM_TOKEN_KEYS={path}")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            "tokens.unreadable", f"CLM_TOKEN_KEYS={path}: cannot be read: {error}"
        ) from error


def _parse_text(text: str, where: str) -> dict[str, PyJWK]:
    try:
        return parse(json.loads(text))
    except ValueError as error:
        raise SettingsError("tokens.no_jwks", f"{where}: it is no JSON: {error}") from error
    except SettingsError as error:
        raise SettingsError(error.slug, f"{where}: {error.message}") from error


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """Give what changes when the file does; None while it is away."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
