"""Where the running system's services are, and a token for them."""

from __future__ import annotations

from typing import TypeVar

from clm_local import paths, state, system, tokens
from clm_local.errors import LocalError
from clm_local.paths import Paths
from clm_local.service import Service
from clm_local.state import Run, Workspace

NOTHING = "Nothing runs. Start it with `clm up`."
SCOPES = ("admin", "operator")

S = TypeVar("S", bound=Service)


def running() -> tuple[Paths, Workspace]:
    """Give the running system.

    Raises:
        LocalError: nothing runs.
    """
    place, _ = servers()
    workspace = state.load_workspace(place)
    if workspace is None:
        raise LocalError("not-running", NOTHING)
    return place, workspace


def servers() -> tuple[Paths, Run]:
    """Give where the running system is, and its servers.

    Raises:
        LocalError: nothing runs.
    """
    place = paths.find()
    run = state.load_run(place)
    if run is None or not run.running:
        raise LocalError("not-running", NOTHING)
    return place, run


def to(service: type[S], *, seconds: int = 900) -> S:
    """Give the API of a service of the running system; it may be asked for so many seconds.

    Raises:
        LocalError: nothing runs.
    """
    place, workspace = running()
    token = tokens.mint(place, workspace.key, scopes=SCOPES, seconds=seconds)
    return service(system.url(workspace, service.name), token)
