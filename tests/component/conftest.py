"""The engine, for the modules that ask for it."""

from __future__ import annotations

from tests.support.engines import engine

__all__ = ["engine"]
