"""What starting a process costs is what it imports and builds: what no start needs stays out."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SERVICES = ("clm_engagement", "clm_ingest", "clm_metrics", "clm_stage_engine")
MIGRATING = {"alembic", "mako", "sqlalchemy"}
TERMINAL = {"httpx", "psutil", "typer"}
SERVING = {"aiokafka", "fastapi", "prometheus_client", "pydantic_settings", "starlette", "uvicorn"}

_LOADED = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""
_BUILT = """
import importlib, json, sys
from clm_common.catalog import Definition
from clm_common.runtime.models import Answer
importlib.import_module(sys.argv[1])
def below(cls):
    for child in cls.__subclasses__():
        yield child
        yield from below(child)
models = [*below(Answer), *below(Definition)]
print(json.dumps([len(models), [it.__name__ for it in models if it.__pydantic_complete__]]))
"""


def run(code: str, module: str) -> list[object]:
    """Give what a new process prints that runs this code."""
    command = [sys.executable, "-c", code, module]
    done = subprocess.run(command, capture_output=True, check=True, timeout=120)
    printed: list[object] = json.loads(done.stdout)
    return printed


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_without_what_only_migrations_and_the_terminal_need(service: str) -> None:
    loaded = run(_LOADED, f"{service}.app")

    assert {"asyncpg", "fastapi"} <= set(loaded)
    assert not (MIGRATING | TERMINAL).intersection(loaded)


@pytest.mark.parametrize(
    "module",
    ["cli", "cli.up", "cli.status", "supervisor"],
    ids=["clm --help", "clm up", "clm status", "the supervisor"],
)
def test_the_terminal_starts_without_what_services_need(module: str) -> None:
    loaded = run(_LOADED, f"clm_local.{module}")

    assert "clm_local" in loaded
    assert not (MIGRATING | SERVING).intersection(loaded)


@pytest.mark.parametrize("service", SERVICES)
def test_models_of_answers_and_definitions_are_built_when_they_are_needed(service: str) -> None:
    models, built = run(_BUILT, f"{service}.app")

    assert models
    assert built == []
