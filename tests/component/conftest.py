"""The engine, for the modules that ask for it."""

from __future__ import annotations

from tests.support.engines import engine, engine_template, engine_url

__all__ = ["engine", "engine_template", "engine_url"]
