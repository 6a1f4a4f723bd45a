"""Finds what people name on the command line, by its name or the beginning of its id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from clm_local.errors import LocalError


class Named(Protocol):
    """What has a name and an id."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def name(self) -> str:
        """What people call it."""
        ...


T = TypeVar("T", bound=Named)


def choose(items: Sequence[T], wanted: str, *, what: str) -> T:
    """Find the one of this name, or else the one whose id begins so.

    Args:
        items: those there are.
        wanted: the name, or the beginning of the id.
        what: what they are called, as `clm` calls them: `source`.

    Raises:
        LocalError: there is none, or more than one.
    """
    named = [it for it in items if it.name == wanted]
    found = named or [it for it in items if it.id.startswith(wanted)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(repr(it.name) for it in items) or f"none yet: `clm {what} create NAME`"
    trouble = f"Several {what}s have" if found else f"No {what} has"
    raise LocalError(
        f"{what}-unknown", f"{trouble} this name or id: {wanted!r}. There are: {names}"
    )
