"""A terminal in which `clm` finds one running ingest, as if `clm up` had started it."""

from __future__ import annotations

import os
from pathlib import Path

from clm_common.runtime.tokens import KeyPair
from clm_local import processes, state, tokens
from clm_local.paths import Paths, directory, write_secret
from clm_local.state import Run, Workspace
from tests.support.ingest import IngestProcess
from tests.support.installation import Installation


def terminal(home: Path, running: IngestProcess, signer: KeyPair, kafka: str) -> Installation:
    """Describe a running ingest in a data directory of its own.

    Args:
        home: the directory.
        running: the ingest; commands work in its present workspace.
        signer: whose tokens it takes.
        kafka: the broker's address.
    """
    paths = Paths(directory(home))
    directory(tokens.private_key(paths).parent)
    write_secret(tokens.private_key(paths), signer.private)
    port = int(running.url.rpartition(":")[2])
    state.save_workspace(paths, Workspace(key=running.workspace, ports={"ingest": port}))
    ours = processes.process(os.getpid())
    state.save_run(paths, Run(ours, {}, ready=True, kafka=kafka, database=running.database_url))
    return Installation(paths.data)
