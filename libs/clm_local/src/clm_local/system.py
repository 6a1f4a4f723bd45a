"""What the local system consists of: which processes, on which ports, told what.

PostgreSQL, Kafka and the mail catcher stand in the first tier, the four services in the second.
A server that the environment names (`CLM_DATABASE_URL`, `CLM_KAFKA_BOOTSTRAP`) is used as it is and
not started. Other `CLM_*` variables are handed on to the services.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from clm_local import kafka, postgres, tokens
from clm_local.child import Child, plain_environment
from clm_local.mail import process as catcher
from clm_local.paths import Paths
from clm_local.ports import HOST, free_port
from clm_local.probe import is_ready
from clm_local.processes import MARK
from clm_local.progress import Report, silent
from clm_local.state import Workspace

SERVICES: Final = {
    "ingest": "clm_ingest",
    "stage-engine": "clm_stage_engine",
    "metrics": "clm_metrics",
    "engagement": "clm_engagement",
}
"""The services and their packages."""

SERVERS: Final = ("postgres", "kafka", "mail")

PORTS: Final = {
    "ingest": 8080,
    "stage-engine": 8081,
    "metrics": 8082,
    "engagement": 8083,
    "smtp": 1025,
    "mail": 8025,
    "kafka": 19092,
    "kafka-controller": 19093,
    "postgres": 15432,
}
"""The ports at the first start, if they are free."""

DATABASE: Final = "clm"
DATABASE_VARIABLE: Final = "CLM_DATABASE_URL"
KAFKA_VARIABLE: Final = "CLM_KAFKA_BOOTSTRAP"
RESERVED: Final = {
    "CLM_HTTP_HOST",
    "CLM_HTTP_PORT",
    "CLM_OPS_PORT",
    "CLM_WORKER_ID",
    "CLM_TOKEN_KEYS",
}
"""Variables that must differ from service to service, or that are ours to set."""


@dataclass(frozen=True, slots=True)
class System:
    """Everything that is to run, ready to be started.

    Attributes:
        paths: where its things are.
        workspace: its keys and ports.
        servers: the first tier.
        services: the second tier.
        kafka: the broker's address.
        database: the database's address, with its password.
        server: PostgreSQL, if it is ours.
    """

    paths: Paths
    workspace: Workspace
    servers: Sequence[Child]
    services: Sequence[Child]
    kafka: str
    database: str
    server: postgres.Server | None


@dataclass(frozen=True, slots=True)
class Software:
    """What the servers run on; None for a server that is not ours."""

    kafka: kafka.Software | None
    postgres: postgres.Programs | None


def choose_ports(kept: Mapping[str, int]) -> dict[str, int]:
    """Give every port: the one of the last start, else the default, else any that is free."""
    chosen: dict[str, int] = {}
    for name, default in PORTS.items():
        port = free_port(kept.get(name, default))
        while port in chosen.values():
            port = free_port()
        chosen[name] = port
    return chosen


def moved(before: Mapping[str, int], ports: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Give the ports that had to move: by name, (the one wanted, the one chosen)."""
    wanted = PORTS | dict(before)
    return {name: (wanted[name], port) for name, port in ports.items() if port != wanted[name]}


def url(workspace: Workspace, name: str) -> str:
    """Give the address of a service, or of the mail catcher's page."""
    return f"http://{HOST}:{workspace.ports[name]}"


def log_path(paths: Paths, name: str) -> Path:
    """Give where a process writes its log."""
    return paths.logs / f"{name}.log"


def install(
    paths: Paths, report: Report = silent, environ: Mapping[str, str] = os.environ
) -> Software:
    """Fetch what the servers run on, if it is not there yet; blocking, safe to interrupt.

    Raises:
        LocalError: something cannot be had; the message says what to do.
    """
    return Software(
        None if environ.get(KAFKA_VARIABLE) else kafka.install(paths, report),
        None if environ.get(DATABASE_VARIABLE) else postgres.find(paths),
    )


async def prepare(
    paths: Paths,
    workspace: Workspace,
    software: Software,
    environ: Mapping[str, str] = os.environ,
) -> System:
    """Make all directories and describe all processes.

    Raises:
        LocalError: a directory cannot be used.
    """
    ports = choose_ports(workspace.ports)
    workspace = msgspec.structs.replace(workspace, ports=ports)
    tokens.ensure_keys(paths)
    tokens.renew_journey_token(paths)
    broker, (database_server, server) = await asyncio.gather(
        _broker(paths, ports, software.kafka), _database(paths, ports, software.postgres)
    )
    mail = catcher.prepare(
        paths.mail,
        smtp_port=ports["smtp"],
        http_port=ports["mail"],
        log_path=log_path(paths, "mail"),
    )
    told = {
        **_defaults(workspace),
        "CLM_JOURNEY_KEYS_TOKEN": str(tokens.journey_token(paths)),
        **{
            name: value
            for name, value in environ.items()
            if name.startswith("CLM_") and name not in RESERVED
        },
        KAFKA_VARIABLE: environ.get(KAFKA_VARIABLE) or f"{HOST}:{ports['kafka']}",
        DATABASE_VARIABLE: server.url(DATABASE) if server else environ[DATABASE_VARIABLE],
    }
    return System(
        paths,
        workspace,
        [_marked(it, paths) for it in (*database_server, *broker, mail)],
        [_marked(_service(paths, workspace, name, told), paths) for name in SERVICES],
        told[KAFKA_VARIABLE],
        told[DATABASE_VARIABLE],
        server,
    )


async def _broker(
    paths: Paths, ports: Mapping[str, int], software: kafka.Software | None
) -> list[Child]:
    if software is None:
        return []
    return [
        await kafka.prepare(
            paths.kafka,
            software,
            port=ports["kafka"],
            controller_port=ports["kafka-controller"],
            log_path=log_path(paths, "kafka"),
        )
    ]


async def _database(
    paths: Paths, ports: Mapping[str, int], programs: postgres.Programs | None
) -> tuple[list[Child], postgres.Server | None]:
    if programs is None:
        return [], None
    child, server = await postgres.prepare(
        paths.postgres, programs, port=ports["postgres"], log_path=log_path(paths, "postgres")
    )
    return [child], server


def _service(paths: Paths, workspace: Workspace, name: str, told: Mapping[str, str]) -> Child:
    port = workspace.ports[name]
    own = {
        "CLM_HTTP_HOST": HOST,
        "CLM_HTTP_PORT": str(port),
        "CLM_TOKEN_KEYS": str(tokens.public_keys(paths)),
        "PYTHONUNBUFFERED": "1",
    }
    return Child(
        name=name,
        argv=(sys.executable, "-m", SERVICES[name]),
        env=plain_environment(**told, **own),
        cwd=paths.data,
        log_path=log_path(paths, name),
        ready=functools.partial(is_ready, port),
        stop_timeout=25.0,
    )


def _defaults(workspace: Workspace) -> dict[str, str]:
    """Give what the services are told unless the environment says otherwise."""
    return {
        "CLM_SMTP_URL": f"smtp://{HOST}:{workspace.ports['smtp']}",
        "CLM_PUBLIC_URL": url(workspace, "engagement"),
        "CLM_SIGNING_KEY": workspace.signing_key,
        "CLM_SECRETS_KEY": workspace.secrets_key,
        "CLM_ADDRESS_KEY": workspace.address_key,
        "CLM_JOURNEY_KEY": workspace.journey_key,
        "CLM_JOURNEY_KEYS_URL": url(workspace, "stage-engine"),
        "CLM_WEBHOOKS_HTTP": "true",
        "CLM_WEBHOOKS_PRIVATE": "true",
        "CLM_HISTORY_MONTHS": "1200",  # for ever: people try old data sets here
    }


def _marked(child: Child, paths: Paths) -> Child:
    """Let everybody see whose process it is, see `processes.left_of`."""
    return dataclasses.replace(child, env={**child.env, MARK: str(paths.data)})
