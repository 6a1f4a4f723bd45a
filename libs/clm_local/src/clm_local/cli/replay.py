"""`clm replay`: profiles rebuilt from their history by the stage-engine's own program."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from clm_local import paths
from clm_local.cli import connecting, programs
from clm_local.cli.journey import environment
from clm_local.people import People

PROGRAM = "clm_stage_engine.replay"


def run(persons: Sequence[str], arguments: Sequence[str], *, restart: bool) -> None:
    """Run the program against the running system; broken off, it can be gone on with.

    Raises:
        LocalError: nothing runs, or nobody has one of these identifiers.
    """
    place, running = connecting.servers()
    if persons:
        with connecting.to(People) as engine:
            arguments = [*arguments, *(f"--profile={engine.find(it)}" for it in persons)]
    kept = f"--checkpoint={_checkpoint(arguments)}"
    again = ["--restart"] if restart else []
    programs.run(PROGRAM, [*arguments, kept, *again], environment(place, running))


def _checkpoint(arguments: Sequence[str]) -> Path:
    """Name the file that tells how far a replay of the same people is."""
    folder = paths.directory(paths.find().data / "replays")
    asked = sha256("\0".join(it for it in arguments if it != "--json").encode()).hexdigest()
    return folder / f"{asked[:24]}.json"
