"""`clm lifecycle`: definitions, checked, compared and tried out by the stage-engine's programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from clm_local import paths
from clm_local.child import plain_environment
from clm_local.cli import connecting, programs
from clm_local.cli.journey import environment

PROGRAMS = "clm_stage_engine.changing"


def validate(files: Sequence[str]) -> None:
    """Say what is wrong with definitions; nothing needs to run."""
    _run("validate", files, plain_environment())


def simulate(file: str, arguments: Sequence[str]) -> None:
    """Try a definition out on events of a file; nothing needs to run."""
    _run("simulate", [file, *arguments], plain_environment())


def diff(file: str, arguments: Sequence[str], *, restart: bool) -> None:
    """Compare a definition over the running system's history; broken off, it can be gone on with.

    Raises:
        LocalError: nothing runs.
    """
    place, run = connecting.servers()
    if not any(it.startswith("--workspace=") for it in arguments):
        _, workspace = connecting.running()
        arguments = [*arguments, f"--workspace={workspace.key}"]
    kept = [] if file == "-" else ["--checkpoint", str(_checkpoint(file, arguments))]
    again = ["--restart"] if restart else []
    _run("diff", [file, *arguments, *kept, *again], environment(place, run))


def _checkpoint(file: str, arguments: Sequence[str]) -> Path:
    """Name the file that tells how far the same comparison is: of what is asked, nothing else."""
    folder = paths.directory(paths.find().data / "lifecycle-diffs")
    path = Path(file)
    text = path.read_bytes() if path.is_file() else file.encode()
    asked = sha256(b"\0".join([text, *(it.encode() for it in arguments)])).hexdigest()
    return folder / f"{asked[:24]}.json"


def _run(program: str, arguments: Sequence[str], told: Mapping[str, str]) -> None:
    programs.run(f"{PROGRAMS}.{program}", arguments, told)
