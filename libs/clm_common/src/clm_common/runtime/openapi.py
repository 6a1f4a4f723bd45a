"""Writes each service's `openapi.json` from its code, or checks that it is up to date.

    python -m clm_common.runtime.openapi [--check] [SERVICE ...]

By convention a service's `api.make_app` only keeps what it is given until a request comes, so that
the app can be made here with nothing behind it.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Final

from fastapi import FastAPI

_PREFIX: Final = "clm_"
_FILE: Final = "openapi.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the documents; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m clm_common.runtime.openapi")
    parser.add_argument("--check", action="store_true", help="change nothing, say what is stale")
    parser.add_argument("services", nargs="*", help="such as stage-engine; all if left out")
    chosen = parser.parse_args(arguments)
    stale = [
        path
        for path, text in documents(chosen.services)
        if not path.exists() or path.read_text() != text
    ]
    if chosen.check:
        for path in stale:
            sys.stderr.write(f"{path} is not up to date: python -m clm_common.runtime.openapi\n")
        return 1 if stale else 0
    for path, text in documents(chosen.services):
        path.write_text(text)
    return 0


def documents(services: Sequence[str] = ()) -> Iterator[tuple[Path, str]]:
    """Give every service's document and where it belongs.

    Args:
        services: their names; all that are installed if empty.
    """
    for name in _installed():
        if services and name.removeprefix(_PREFIX).replace("_", "-") not in services:
            continue
        api = importlib.import_module(f"{name}.api")
        yield _place_of(name), json.dumps(app_of(api).openapi(), indent=2) + "\n"


def _installed() -> list[str]:
    """Find the packages that have an `api` with a `make_app`."""
    ours = sorted(module.name for module in pkgutil.iter_modules() if module.ispkg)
    candidates = [name for name in ours if name.startswith(_PREFIX)]
    return [name for name in candidates if find_spec(f"{name}.api") is not None]


def app_of(api: ModuleType) -> FastAPI:
    """Make the app of a service with nothing behind it, given its module `api`."""
    needed = inspect.signature(api.make_app).parameters.values()
    positional = [None for each in needed if each.kind is not each.KEYWORD_ONLY]
    keywords = {each.name: None for each in needed if each.kind is each.KEYWORD_ONLY}
    app: FastAPI = api.make_app(*positional, **keywords)
    return app


def _place_of(package: str) -> Path:
    """Give the file beside the service's `pyproject.toml`: `services/<name>/openapi.json`."""
    module = importlib.import_module(package)
    assert module.__file__ is not None  # noqa: S101 - it was loaded from a file
    return Path(module.__file__).parents[2] / _FILE


if __name__ == "__main__":
    sys.exit(main())
