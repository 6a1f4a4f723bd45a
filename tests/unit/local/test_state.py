"""What the local system remembers, and which process is meant."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from clm_local.errors import LocalError
from clm_local.paths import Paths
from clm_local.processes import MARK, Process, left_of, process
from clm_local.state import (
    ChildState,
    Phase,
    Run,
    Workspace,
    load_run,
    load_workspace,
    run_file,
    save_run,
    save_workspace,
    workspace_file,
)


def run_of(supervisor: Process) -> Run:
    child = ChildState(Phase.READY, "/log", process(os.getpid()))
    return Run(supervisor, {"kafka": child}, ready=True, kafka="localhost:1", database="url")


def test_what_is_kept_is_read_as_it_was_written(tmp_path: Path) -> None:
    paths, workspace = Paths(tmp_path), Workspace(ports={"ingest": 8080}, write_key="wk_1")

    save_workspace(paths, workspace)

    assert load_workspace(paths) == workspace


def test_only_the_owner_can_read_keys(tmp_path: Path) -> None:
    paths = Paths(tmp_path)

    save_workspace(paths, Workspace())
    save_run(paths, run_of(process(os.getpid())))

    for place in (workspace_file(paths), run_file(paths)):
        assert stat.S_IMODE(place.stat().st_mode) == 0o600


def test_before_the_first_start_nothing_is_known(tmp_path: Path) -> None:
    assert load_workspace(Paths(tmp_path)) is None
    assert load_run(Paths(tmp_path)) is None


def test_a_broken_file_of_keys_is_never_overwritten_in_silence(tmp_path: Path) -> None:
    workspace_file(Paths(tmp_path)).write_text("{")

    with pytest.raises(LocalError, match=r"clm reset --yes"):
        load_workspace(Paths(tmp_path))


def test_a_run_file_of_another_version_counts_as_none(tmp_path: Path) -> None:
    run_file(Paths(tmp_path)).write_text('{"pids": [1, 2]}')

    assert load_run(Paths(tmp_path)) is None


def test_every_workspace_has_a_signing_key_of_its_own() -> None:
    assert Workspace().signing_key != Workspace().signing_key


def test_a_run_whose_supervisor_died_is_stale() -> None:
    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    named = process(ended.pid)
    alive = run_of(named).running

    ended.kill()
    ended.communicate()

    assert alive
    assert not run_of(named).running


def test_a_pid_that_was_used_again_is_another_process() -> None:
    impostor = Process(os.getpid(), "another boot:1")

    assert not impostor.alive


def test_a_zombie_is_not_alive() -> None:
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)

    assert not Process(ended.pid, "any").alive
    assert process(ended.pid).born == ""
    ended.wait()


def test_what_carries_the_mark_of_a_data_directory_is_found(tmp_path: Path) -> None:
    ours = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        env={**os.environ, MARK: str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert ours.stdout is not None
    ours.stdout.readline()

    found = [it.pid for it in left_of(tmp_path)]
    elsewhere = [it.pid for it in left_of(tmp_path / "other")]
    ours.kill()
    ours.communicate()

    assert found == [ours.pid]
    assert elsewhere == []
