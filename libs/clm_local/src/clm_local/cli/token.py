"""`clm token`: bearer tokens for the APIs."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from clm_local import paths, state, tokens
from clm_local.errors import LocalError

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def create(scopes: Sequence[str], ttl: str, subject: str) -> None:
    """Print a token, and nothing else: it is to be used in `$(…)`."""
    place = paths.find()
    workspace = state.load_workspace(place)
    if workspace is None:
        raise LocalError("no-workspace", "There are no keys yet. They are made by `clm up`.")
    named = [name for scope in scopes for name in re.split(r"[\s,]+", scope) if name]
    minted = tokens.mint(
        place, workspace.key, scopes=named, seconds=seconds_of(ttl), subject=subject
    )
    sys.stdout.write(f"{minted}\n")


def seconds_of(text: str) -> int:
    """Read a duration such as 30m, 12h or 7d.

    Raises:
        LocalError: it is none.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", text)
    if match is None:
        raise LocalError("duration-wrong", f"{text!r} is no duration: write 30m, 12h or 7d.")
    return int(match[1]) * UNITS[match[2]]
