"""A whole system of a test's own, driven by the `clm` command like a person's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from clm_local import processes, state, system
from clm_local.paths import Paths, directory
from clm_local.ports import free_ports
from clm_local.state import Run, Workspace
from tests.support.commands import Done

CLM = Path(sys.executable).with_name("clm")

Json = dict[str, Any]  # Any: what a command prints


class Installation:
    """One data directory, with ports of its own."""

    def __init__(self, data: Path) -> None:
        self.paths = Paths(data)

    def clm(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        code: int | None = 0,
        typed: str | None = None,
    ) -> str:
        """Run a command and give what it prints.

        Args:
            arguments: the command.
            env: variables beside those that it always has.
            code: how it must end, None for any way.
            typed: what it reads on standard input.
        """
        done = self._run(arguments, {**self._environment(), **(env or {})}, typed)
        output = done.out + done.told
        assert code in {None, done.code}, f"clm {' '.join(arguments)}:\n{output}"
        assert "Traceback" not in done.told
        return done.out if code == 0 else output

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command that goes on beside the test."""
        return subprocess.Popen(
            [CLM, *arguments],
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def status(self, code: int | None = 0) -> Json:
        """Give what `clm status --json` prints."""
        shown: Json = msgspec.json.decode(self.clm("status", "--json", code=None))
        assert code is None or shown["ready"] is (code == 0)
        return shown

    @property
    def workspace(self) -> Workspace:
        found = state.load_workspace(self.paths)
        assert found is not None, "nothing was started yet"
        return found

    @property
    def run(self) -> Run:
        found = state.load_run(self.paths)
        assert found is not None, "nothing runs"
        return found

    def url(self, name: str) -> str:
        """Give the address of a service."""
        return system.url(self.workspace, name)

    def left(self) -> list[int]:
        """Give the pid of every process that works for the data directory."""
        return [it.pid for it in processes.left_of(self.paths.data)]

    def kill(self, name: str) -> int:
        """Kill -9 the supervisor or one of its children, and give the pid it had."""
        run = self.run
        process = run.supervisor if name == "supervisor" else run.children[name].process
        assert process is not None, f"{name} does not run"
        process.signal(signal.SIGKILL)
        return process.pid

    def _run(
        self, arguments: Sequence[str], environment: Mapping[str, str], typed: str | None
    ) -> Done:
        """Run a command to its end."""
        done = subprocess.run(
            [CLM, *arguments],
            env=environment,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def _environment(self) -> dict[str, str]:
        """Give ours without any setting of ours."""
        kept = {name: it for name, it in os.environ.items() if not name.startswith("CLM_")}
        return kept | {"CLM_DATA_DIR": str(self.paths.data)}

    def discard(self) -> None:
        """End everything, in whatever state it is."""
        for _ in range(2):
            processes.end(processes.left_of(self.paths.data), patience=10.0)


@contextmanager
def installation(home: Path, downloads: Path) -> Generator[Installation]:
    """Make one; `downloads` are shared, so that nothing is fetched twice."""
    data = directory(home, mode=0o711)
    (data / "downloads").symlink_to(downloads)
    made = Installation(data)
    ports = dict(zip(system.PORTS, free_ports(len(system.PORTS)), strict=True))
    state.save_workspace(made.paths, Workspace(ports=ports))
    try:
        yield made
    finally:
        made.discard()
        shutil.rmtree(data, ignore_errors=True)


def eventually(claim: Callable[[], bool], seconds: float) -> float:
    """Wait until something is true, and give the seconds that took."""
    started = time.monotonic()
    while not claim():
        assert time.monotonic() - started < seconds, f"it did not come true in {seconds:.0f} s"
        time.sleep(0.1)
    return time.monotonic() - started
