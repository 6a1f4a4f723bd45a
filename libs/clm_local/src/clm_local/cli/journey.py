"""`clm journey`: the river, copied by the stage-engine's own program."""

from __future__ import annotations

import os

from clm_local import system, tokens
from clm_local.child import plain_environment
from clm_local.cli import connecting, programs
from clm_local.paths import Paths
from clm_local.state import Run

PROGRAM = "clm_stage_engine.republish"


def republish(to: str, *, workspace: str | None, resume: bool) -> None:
    """Run the program against the running system; ends with its exit code if that is not 0.

    Raises:
        LocalError: nothing runs.
    """
    place, run = connecting.servers()
    chosen = [] if workspace is None else ["--workspace", workspace]
    again = ["--resume"] if resume else []
    told = environment(place, run)
    begun = "Interrupted. Add --resume to go on."
    programs.run(PROGRAM, ["--to", to, *chosen, *again], told, interrupted=begun)


def environment(place: Paths, run: Run) -> dict[str, str]:
    """Give what the running system's services are told of its servers, and nothing of HTTP."""
    servers = {system.KAFKA_VARIABLE: run.kafka, system.DATABASE_VARIABLE: run.database}
    told = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("CLM_") and name not in system.RESERVED
    }
    return plain_environment(**told | servers, CLM_TOKEN_KEYS=str(tokens.public_keys(place)))
