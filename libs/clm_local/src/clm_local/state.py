"""What the local system remembers: `workspace.json` for good, `run.json` while it runs.

Both are JSON for their owner's eyes only (0600) and are replaced whole, so that a reader never
sees half of one. `run.json` may be stale after a crash: ask `Run.running`.
"""

from __future__ import annotations

import base64
import secrets
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from clm_local.errors import LocalError
from clm_local.paths import Paths, write_secret
from clm_local.processes import Process

WORKSPACE = "local"


def _journey_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


class Phase(StrEnum):
    """How far a child is."""

    STARTING = "starting"
    READY = "ready"
    PAUSED = "paused"
    STOPPED = "stopped"


class ChildState(Struct, frozen=True):
    """One child as its supervisor sees it.

    Attributes:
        phase: how far it is; paused means that it ended by itself and is started again soon.
        log: where its output is.
        process: the process, while there is one.
        ends: how often it ended by itself since the supervisor started.
        quick: how often in a row it ended soon after its start; a crash loop from 3 on.
        code: its last exit code, minus the signal if one ended it.
        ready_after: the seconds it took to become ready, the last time.
    """

    phase: Phase
    log: str
    process: Process | None = None
    ends: int = 0
    quick: int = 0
    code: int | None = None
    ready_after: float | None = None

    @property
    def looping(self) -> bool:
        """Whether it crashes again and again."""
        return self.quick >= 3  # noqa: PLR2004  (the number is explained in `quick`)


class Run(Struct, frozen=True):
    """The running system.

    Attributes:
        supervisor: who runs it.
        children: by name.
        ready: whether everything has come up and been set up once; not whether it answers now.
        problem: why setting it up does not get on, if it does not.
        kafka: the broker's address.
        database: the database's address, with its password.
    """

    supervisor: Process
    children: dict[str, ChildState]
    ready: bool
    kafka: str
    database: str
    problem: str | None = None

    @property
    def running(self) -> bool:
        """Whether its supervisor is still there; after kill -9 of it this file is stale."""
        return self.supervisor.alive

    def processes(self) -> list[Process]:
        """Give every process it names."""
        children = (it.process for it in self.children.values())
        return [self.supervisor, *(it for it in children if it)]


class Workspace(Struct, frozen=True):
    """What is made at the first start and kept.

    Attributes:
        key: the workspace's key.
        signing_key: signs the links in mails.
        secrets_key: encrypts the secrets of webhooks.
        address_key: keys the hashes of addresses.
        journey_key: encrypts people's keys, where the river is sealed.
        ports: by name; kept so that addresses stay the same from start to start.
        source: the id of the first source, once ingest has made it.
        write_key: its write key.
        token: a bearer token for every scope.
        token_until: when it expires, in seconds since the epoch.
    """

    key: str = WORKSPACE
    signing_key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    secrets_key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    address_key: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    journey_key: str = field(default_factory=_journey_key)
    ports: dict[str, int] = field(default_factory=dict[str, int])
    source: str | None = None
    write_key: str | None = None
    token: str | None = None
    token_until: int = 0


T = TypeVar("T")


def load_run(paths: Paths) -> Run | None:
    """Read what runs; None if nothing was started, or its file is of another version."""
    try:
        return _load(run_file(paths), Run)
    except msgspec.DecodeError:
        return None


def save_run(paths: Paths, run: Run) -> None:
    """Write what runs."""
    _save(run_file(paths), run)


def load_workspace(paths: Paths) -> Workspace | None:
    """Read what is kept; None before the first start.

    Raises:
        LocalError: the file is broken.
    """
    place = workspace_file(paths)
    try:
        return _load(place, Workspace)
    except msgspec.DecodeError as error:
        raise LocalError(
            "state-broken",
            f"{place} cannot be read ({error}). Put back a copy of it, or start afresh "
            "with `clm reset --yes`, which removes all data.",
            path=str(place),
        ) from error


def save_workspace(paths: Paths, workspace: Workspace) -> None:
    """Write what is kept."""
    _save(workspace_file(paths), workspace)


def run_file(paths: Paths) -> Path:
    """Where the running system is described."""
    return paths.data / "run.json"


def workspace_file(paths: Paths) -> Path:
    """Where the workspace's keys and ports are kept."""
    return paths.data / "workspace.json"


def _load(place: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(place.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except PermissionError as error:
        raise LocalError(
            "data-dir-foreign",
            f"{place} belongs to another user. Run as that user, "
            "or set CLM_DATA_DIR to a directory of your own.",
            path=str(place),
        ) from error


def _save(place: Path, value: object) -> None:
    write_secret(place, msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
