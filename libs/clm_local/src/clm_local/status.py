"""How the system is right now: asked of the processes themselves, not taken from a file."""

from __future__ import annotations

import asyncio

import msgspec
from msgspec import Struct

from clm_local import kafka, postgres, state, system
from clm_local.paths import Paths
from clm_local.ports import HOST, listens
from clm_local.probe import is_ready
from clm_local.state import Run, Workspace
from clm_local.system import SERVICES


class Kafka(Struct, frozen=True):
    """The broker; no pid if it is not ours or does not run."""

    bootstrap: str
    pid: int | None


class Postgres(Struct, frozen=True):
    """The database; no pid if it is not ours or does not run."""

    url: str | None
    pid: int | None


class Mail(Struct, frozen=True):
    """The mail catcher: where mails go, where they are seen."""

    smtp: str
    url: str


class Service(Struct, frozen=True):
    """One of the four services."""

    url: str
    pid: int | None
    ready: bool


class Status(Struct, frozen=True):
    """What `clm status --json` prints."""

    ready: bool
    data_dir: str
    workspace: str
    write_key: str | None
    token: str | None
    kafka: Kafka
    postgres: Postgres
    mail: Mail
    services: dict[str, Service]


async def look(paths: Paths) -> Status:
    """Ask everything how it is."""
    workspace = state.load_workspace(paths) or Workspace()
    workspace = msgspec.structs.replace(workspace, ports=system.PORTS | workspace.ports)
    run = present(paths)
    servers, *answers = await asyncio.gather(
        _servers_answer(run, workspace), *(is_ready(workspace.ports[name]) for name in SERVICES)
    )
    services = {
        name: _service(run, workspace, name, answers_well=answer)
        for name, answer in zip(SERVICES, answers, strict=True)
    }
    everywhere = all(it.ready for it in services.values())
    return Status(
        ready=run is not None and run.ready and servers and everywhere,
        data_dir=str(paths.data),
        workspace=workspace.key,
        write_key=workspace.write_key,
        token=workspace.token,
        kafka=Kafka(run.kafka if run else _bootstrap(workspace), _pid(run, "kafka")),
        postgres=Postgres(run.database if run else None, _pid(run, "postgres")),
        mail=Mail(f"smtp://{HOST}:{workspace.ports['smtp']}", system.url(workspace, "mail")),
        services=services,
    )


def present(paths: Paths) -> Run | None:
    """Give what runs now; None after a `clm down` or a crash."""
    run = state.load_run(paths)
    return run if run and run.running else None


async def _servers_answer(run: Run | None, workspace: Workspace) -> bool:
    """Whether those of the servers that are ours answer; the services speak for others."""
    if run is None:
        return False
    asked = [listens(workspace.ports["smtp"]), listens(workspace.ports["mail"])]
    if "kafka" in run.children:
        asked.append(kafka.answers(workspace.ports["kafka"]))
    if "postgres" in run.children:
        asked.append(postgres.answers(run.database))
    return all(await asyncio.gather(*asked))


def _service(run: Run | None, workspace: Workspace, name: str, *, answers_well: bool) -> Service:
    pid = _pid(run, name)
    return Service(system.url(workspace, name), pid, ready=answers_well and pid is not None)


def _pid(run: Run | None, name: str) -> int | None:
    """Give the pid of a child that is alive."""
    child = run.children.get(name) if run else None
    process = child.process if child else None
    return process.pid if process and process.alive else None


def _bootstrap(workspace: Workspace) -> str:
    return f"{HOST}:{workspace.ports['kafka']}"
