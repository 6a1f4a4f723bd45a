"""Looks for what is missing or broken on this machine; each finding comes with its remedy.

Every check is a function that yields findings, made in the order of `CHECKS`. Nothing is changed.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import asyncpg
import psutil
from msgspec import Struct

from clm_common.bus.kafka.admin import check_topics
from clm_common.errors import ClmError
from clm_common.store import migrations
from clm_common.store.database import Database
from clm_local import broker, jars, java, kafka, postgres, state, status, system, tokens
from clm_local.errors import LocalError
from clm_local.findings import Finding, bad, good, note
from clm_local.paths import Paths
from clm_local.ports import free_port
from clm_local.probe import is_ready
from clm_local.state import Run, Workspace

OLDEST_PYTHON = (3, 11)
ROOM = 2 * 1024**3
MEMORY = 1536 * 1024**2
SKEW = 2.0
WRITTEN = 1_795_305_600
"""2026-11-22, when this was written: no machine's clock can be before it."""


class Patient(Struct, frozen=True):
    """What is looked at."""

    paths: Paths
    workspace: Workspace
    run: Run | None


Findings = AsyncGenerator[Finding]
Check = Callable[[Patient], Findings]


async def examine(paths: Paths) -> Findings:
    """Make all checks, and give what they find as they find it."""
    patient = Patient(paths, state.load_workspace(paths) or Workspace(), status.present(paths))
    for check in CHECKS:
        try:
            async for finding in check(patient):
                yield finding
        except ClmError as error:
            yield bad(str(error), "Mend this, then run `clm doctor` again.")


async def _python(_: Patient) -> Findings:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        yield bad(f"Python {version}", "Install Python 3.11 or newer, then `make up`.")
    else:
        yield good(f"Python {version}")


async def _java(patient: Patient) -> Findings:
    found = java.find(patient.paths.java)
    if found:
        yield good(f"Java {found.major}: {found.program}")
    else:
        yield note(f"No Java {java.OLDEST} or newer", "`clm up` fetches one (35 MB).")


async def _kafka_jars(patient: Patient) -> Findings:
    missing = jars.missing(patient.paths.jars)
    if missing:
        yield note(f"{len(missing)} of Kafka's jars are not here yet", "`clm up` fetches them.")
    else:
        yield good("Kafka's jars are here and whole")


async def _postgres_programs(patient: Patient) -> Findings:
    if os.environ.get(system.DATABASE_VARIABLE):
        yield good(f"PostgreSQL is the one of {system.DATABASE_VARIABLE}")
        return
    programs = postgres.find(patient.paths)
    yield good(f"PostgreSQL {programs.major}: {programs.bindir}")


async def _disk(patient: Patient) -> Findings:
    place = next(it for it in (patient.paths.data, *patient.paths.data.parents) if it.exists())
    free = shutil.disk_usage(place).free
    what = f"{free / 1024**3:.1f} GB free for {patient.paths.data}"
    if free < ROOM:
        yield bad(what, "Free at least 2 GB, or set CLM_DATA_DIR to a larger disk.")
    else:
        yield good(what)


async def _memory(patient: Patient) -> Findings:
    free = psutil.virtual_memory().available
    what = f"{free / 1024**3:.1f} GB of memory free"
    if patient.run is None and free < MEMORY:
        yield note(what, "The system needs about 1.2 GB: end something else first.")
    else:
        yield good(what)


async def _data_directory(patient: Patient) -> Findings:
    place = patient.paths.data
    if not place.exists():
        yield note(f"{place} is not there yet", "`clm up` makes it.")
        return
    if place.stat().st_uid != os.geteuid() or not os.access(place, os.W_OK):
        yield bad(
            f"{place} belongs to another user",
            "Run as that user, or set CLM_DATA_DIR to a directory of your own.",
        )
        return
    open_to_all = [it for it in _secrets(patient.paths) if it.exists() and _is_open(it)]
    for it in open_to_all:
        yield bad(f"{it} can be read by others", f"chmod 600 {it}")
    if not open_to_all:
        yield good(f"{place} is ours, and its secrets are closed")


async def _ports(patient: Patient) -> Findings:
    if patient.run is not None:
        async for finding in _moved_ports(patient):
            yield finding
        return
    wanted = system.PORTS | patient.workspace.ports
    taken = {name: port for name, port in wanted.items() if free_port(port) != port}
    for name, port in taken.items():
        yield note(f"Port {port} ({name}) is in use", "`clm up` takes another one and says so.")
    if not taken:
        yield good("All ports are free")


async def _moved_ports(patient: Patient) -> Findings:
    moved = system.moved({}, patient.workspace.ports)
    for name, (usual, chosen) in moved.items():
        yield note(
            f"{name} is on port {chosen}, not {usual}",
            f"To move it back: free {usual}, then `clm reset` (it removes all data).",
        )
    if not moved:
        yield good("All ports are the usual ones")


async def _clock(patient: Patient) -> Findings:
    now = time.time()
    if now < WRITTEN:
        yield bad(f"The clock says {time.ctime(now)}", "Set the clock: timedatectl set-ntp true")
        return
    if patient.run is not None:
        skew = abs(await _database_clock(patient.run.database) - time.time())
        if skew > SKEW:
            yield bad(
                f"PostgreSQL's clock and ours are {skew:.0f} s apart",
                "Synchronise both machines' clocks (NTP).",
            )
            return
    yield good("The clock is plausible")


async def _token(patient: Patient) -> Findings:
    workspace = patient.workspace
    if workspace.token is None:
        yield note("There are no keys yet", "`clm up` makes them.")
    elif workspace.token_until < time.time():
        yield bad("The workspace's token has expired", "`clm down`, then `clm up` renews it.")
    else:
        days = (workspace.token_until - time.time()) / 86_400
        yield good(f"The workspace's token is good for {days:.0f} days")


async def _processes(patient: Patient) -> Findings:
    if patient.run is None:
        stale = state.load_run(patient.paths)
        if stale is not None:
            yield note("The last run ended by a crash", "`clm up` clears up and starts again.")
        yield note("Nothing runs", "Start it with `clm up`.")
        return
    for name, child in patient.run.children.items():
        if child.looping:
            yield bad(
                f"{name} crashes again and again (code {child.code})",
                f"`clm logs {name}` says why; mend it, it is started again by itself.",
            )
    if patient.run.problem:
        yield bad(patient.run.problem, "See `clm logs supervisor`.")


async def _servers(patient: Patient) -> Findings:
    if patient.run is None:
        return
    ports = patient.workspace.ports
    answers = {
        "postgres": await postgres.answers(patient.run.database),
        "kafka": "kafka" not in patient.run.children or await kafka.answers(ports["kafka"]),
        **{name: await is_ready(ports[name]) for name in system.SERVICES},
    }
    for name, answered in answers.items():
        if answered:
            yield good(f"{name} answers")
        else:
            yield bad(f"{name} does not answer or is not ready", f"`clm logs {name}` says why.")


async def _topics(patient: Patient) -> Findings:
    if patient.run is not None:
        try:
            await check_topics(broker.settings_at(patient.run.kafka))
            yield good("The topics are as they must be")
        except ClmError as error:
            yield bad(str(error), "`clm down`, then `clm up` creates and corrects topics.")


async def _migrations(patient: Patient) -> Findings:
    if patient.run is None:
        return
    for name, package in system.SERVICES.items():
        schema = package.removeprefix("clm_")
        try:
            async with Database(patient.run.database, schema=schema) as database:
                await migrations.check(database, package=package)
            yield good(f"{name}'s schema is at its newest revision")
        except ClmError as error:
            yield bad(f"{name}: {error}", f"It migrates when it starts: `clm logs {name}`.")


CHECKS: tuple[Check, ...] = (
    _python,
    _java,
    _kafka_jars,
    _postgres_programs,
    _disk,
    _memory,
    _data_directory,
    _ports,
    _clock,
    _token,
    _processes,
    _servers,
    _topics,
    _migrations,
)


def _secrets(paths: Paths) -> tuple[Path, ...]:
    return (
        state.workspace_file(paths),
        state.run_file(paths),
        tokens.private_key(paths),
        paths.postgres / "password",
    )


def _is_open(place: Path) -> bool:
    """Whether somebody else can read a file."""
    return bool(place.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


async def _database_clock(url: str) -> float:
    try:
        connection = await asyncpg.connect(url, timeout=2)
        try:
            now: float = await connection.fetchval(
                "SELECT extract(epoch FROM clock_timestamp())::float8"
            )
            return now
        finally:
            await connection.close()
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise LocalError("postgres-away", f"PostgreSQL does not answer: {error}") from error
