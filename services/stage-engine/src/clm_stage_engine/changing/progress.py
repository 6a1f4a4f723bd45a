"""How far a long run is: told on standard error, written down so that a later run goes on."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from clm_common.errors import SettingsError

P = TypeVar("P", bound=Struct)

_EVERY: Final = 1.0  # seconds between two reports and two checkpoints


def read(path: Path, kind: type[P], what: str) -> P:
    """Read what an earlier run wrote down.

    Args:
        path: the file.
        kind: what it holds.
        what: whose checkpoint it is, for errors: `diff`.

    Raises:
        SettingsError: it is none.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        message = f"{path} is no checkpoint of a {what} ({error}); name another file, or --restart"
        raise SettingsError(f"{what}.checkpoint", message) from error


class Progress:
    """Says on standard error how far it is, and writes it down, once a second at most."""

    def __init__(self, people_left: int, place: Struct, path: Path | None) -> None:
        """Begin.

        Args:
            people_left: how many are to be counted.
            place: how far it is, always.
            path: where to write that down.
        """
        self._left = people_left
        self._place = place
        self._path = path
        self._began = self._last = time.monotonic()

    def __call__(self, counted: int) -> None:
        """Take note that so many people were counted."""
        now = time.monotonic()
        if now - self._last < _EVERY:
            return
        self._last = now
        rate = counted / (now - self._began)
        seconds = max(self._left - counted, 0) / rate
        sys.stderr.write(
            f"{counted:,} of {self._left:,} people, {rate:,.0f} a second, {seconds:,.0f} s to go\n"
        )
        sys.stderr.flush()
        self.write_down()

    def write_down(self) -> None:
        """Write down how far it is, whole or not at all; only its owner may read it."""
        if self._path is None:
            return
        new = self._path.with_name(f"{self._path.name}.new")
        new.touch(mode=0o600)
        new.write_bytes(msgspec.json.encode(self._place))
        os.replace(new, self._path)  # noqa: PTH105 - the same
