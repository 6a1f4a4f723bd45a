"""What has to be there besides running processes: database, topics, and a first source.

Each step waits for the server it needs and may be repeated: it makes only what is missing.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from clm_common.bus.kafka.admin import create_topics
from clm_common.errors import Unavailable
from clm_common.runtime.retry import Backoff
from clm_local import broker, postgres, tokens
from clm_local.paths import Paths
from clm_local.sources import Sources
from clm_local.state import Workspace, load_workspace, save_workspace
from clm_local.supervisor import Supervisor
from clm_local.system import DATABASE, System, url

log = structlog.get_logger()

FIRST_SOURCE = "Local website"


async def set_up(system: System, supervisor: Supervisor) -> Workspace:
    """Make what is missing, let the services start, and return when all is ready.

    The first time, the services wait for database and topics; later both are there and they start
    at once, beside the servers.

    Returns:
        The workspace with its write key.
    """
    is_first = system.workspace.write_key is None
    topics = asyncio.create_task(_make_topics(system, supervisor))
    await _make_database(system, supervisor)
    if is_first:
        await topics
    supervisor.open_gate()
    workspace = await _make_source(system, supervisor)
    await topics
    await asyncio.gather(*(supervisor.ready(name) for name in supervisor.children))
    return workspace


async def _make_database(system: System, supervisor: Supervisor) -> None:
    if system.server is not None:
        await supervisor.ready("postgres")
        await postgres.create_database(system.server, DATABASE)


async def _make_topics(system: System, supervisor: Supervisor) -> None:
    if any(it.name == "kafka" for it in system.servers):
        await supervisor.ready("kafka")
    backoff = Backoff("topics")
    while True:
        try:
            return await create_topics(broker.settings_at(system.kafka))
        except Unavailable as error:
            await backoff.wait(error)


async def _make_source(system: System, supervisor: Supervisor) -> Workspace:
    """Have ingest make the first source; one whose key we do not know gets a new key."""
    await supervisor.ready("ingest")
    return await asyncio.to_thread(ensure_source, system.paths, url(system.workspace, "ingest"))


def ensure_source(paths: Paths, ingest: str) -> Workspace:
    """Make sure that we have a write key, and give the workspace with it."""
    workspace = load_workspace(paths) or Workspace()
    token = tokens.mint(paths, workspace.key, scopes=("admin",), seconds=300)
    with Sources(ingest, token) as sources:
        known = sources.list()
        if workspace.write_key and any(it.id == workspace.source for it in known):
            return workspace
        same = next((it for it in known if it.name == FIRST_SOURCE), None)
        made = sources.rotate(same.id) if same else sources.create(FIRST_SOURCE)
    workspace = msgspec.structs.replace(workspace, source=made.id, write_key=made.write_key)
    save_workspace(paths, workspace)
    log.info("source.made", source=made.id)
    return workspace
