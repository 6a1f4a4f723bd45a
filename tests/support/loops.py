"""Coroutines run from plain code, as a session-wide fixture must."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def finish(work: Coroutine[Any, Any, Result]) -> Result:  # Any: what it yields to the loop
    """Run it to its end on a loop of its own; unlike `asyncio.run`, leave the tests' loop alone."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()
