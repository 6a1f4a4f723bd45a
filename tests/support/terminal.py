"""A terminal in which `clm` finds running services, as if `clm up` had started them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from clm_common.runtime.tokens import KeyPair
from clm_local import processes, state, tokens
from clm_local.paths import Paths, directory, write_secret
from clm_local.state import Run, Workspace
from tests.support import commands
from tests.support.commands import Done
from tests.support.forking import CLM
from tests.support.ingest import IngestProcess
from tests.support.installation import Installation


class Terminal(Installation):
    """An installation that only commands run in, which end: they are forked; see `commands`."""

    def _run(
        self, arguments: Sequence[str], environment: Mapping[str, str], typed: str | None
    ) -> Done:
        return commands.run(CLM, arguments, environment, typed=typed or "")


def terminal(home: Path, running: IngestProcess, signer: KeyPair, kafka: str) -> Terminal:
    """Describe a running ingest in a data directory of its own.

    Args:
        home: the directory.
        running: the ingest; commands work in its present workspace.
        signer: whose tokens it takes.
        kafka: the broker's address.
    """
    servers = kafka, running.database_url
    return terminal_of(home, running.workspace, {"ingest": running.url}, signer, servers)


def terminal_of(
    home: Path,
    workspace: str,
    urls: Mapping[str, str],
    signer: KeyPair,
    servers: tuple[str, str],
) -> Terminal:
    """Describe running services, by name, in a data directory of its own.

    Args:
        home: the directory.
        workspace: in which commands work.
        urls: where the services listen.
        signer: whose tokens they take.
        servers: the addresses of the broker and the database.
    """
    paths = Paths(directory(home))
    directory(tokens.private_key(paths).parent)
    write_secret(tokens.private_key(paths), signer.private)
    ports = {name: int(url.rpartition(":")[2]) for name, url in urls.items()}
    state.save_workspace(paths, Workspace(key=workspace, ports=ports))
    kafka, database = servers
    ours = processes.process(os.getpid())
    state.save_run(paths, Run(ours, {}, ready=True, kafka=kafka, database=database))
    return Terminal(paths.data)
