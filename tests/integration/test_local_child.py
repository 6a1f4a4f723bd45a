"""Child processes: none outlives its parent, two never share a directory, each can be ended."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from clm_local import child, paths
from clm_local.child import Child
from clm_local.errors import LocalError

pytestmark = pytest.mark.timeout(180)

SLEEPER = (sys.executable, "-c", "import time; time.sleep(600)")
IGNORING = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
time.sleep(600)
"""
SPINNING = """
import threading
for _ in range(8):
    threading.Thread(target=lambda: [None for _ in iter(int, 1)], daemon=True).start()
print("busy", flush=True)
threading.Event().wait()
"""
BUSY = (sys.executable, "-c", SPINNING)
DEAF = (sys.executable, "-c", IGNORING)
PARENT = """
    import asyncio, sys
    from pathlib import Path
    from clm_local import child, kafka, postgres
    from tests.support.servers import KafkaNode, PostgresNode

    async def main():
        home = Path(sys.argv[1])
        nodes = [KafkaNode(home), PostgresNode(home)]
        for node in nodes:
            await node.start()
        print(*[node.pid for node in nodes], flush=True)
        await asyncio.sleep(600)

    asyncio.run(main())
"""


def threads(pid: int) -> list[int]:
    return [thread.id for thread in psutil.Process(pid).threads()]


def state(thread: int) -> str:
    return psutil.Process(thread).status()


def sleeper(tmp_path: Path, argv: tuple[str, ...] = SLEEPER, stop_timeout: float = 5.0) -> Child:
    async def ready() -> bool:
        return True

    return Child(
        name="sleeper",
        argv=argv,
        env=child.plain_environment(),
        cwd=tmp_path,
        log_path=tmp_path / "log",
        ready=ready,
        lock=tmp_path / "lock",
        stop_timeout=stop_timeout,
    )


async def appears(path: Path, text: str) -> None:
    async with asyncio.timeout(20):
        while text not in child.tail(path):  # noqa: ASYNC110  (a log cannot set an Event)
            await asyncio.sleep(0.02)


def gone_within(pids: list[int], seconds: float) -> bool:
    """Whether all of them end; a zombie has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(lives(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def family(pids: list[int]) -> list[int]:
    """The processes and all their descendants."""
    below = [it.pid for pid in pids for it in psutil.Process(pid).children(recursive=True)]
    return [*pids, *below]


def test_kafka_and_postgresql_end_when_their_parent_is_killed(server_home: Path) -> None:
    home = paths.directory(server_home / "orphans", mode=0o711)
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PARENT), str(home)],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(paths.project_root())},
    )
    assert parent.stdout is not None
    with parent.stdout:
        pids = family([int(word) for word in parent.stdout.readline().split()])
    alive_before = [pid for pid in pids if lives(pid)]

    parent.kill()
    parent.wait()
    all_gone = gone_within(pids, 15.0)
    for pid in filter(lives, pids):
        os.kill(pid, signal.SIGKILL)

    assert len(alive_before) == len(pids) >= 5, "the broker, the postmaster and its own children"
    assert all_gone


async def test_a_child_ends_when_its_parent_is_already_gone() -> None:
    argv = child.shimmed(("/bin/echo", "never"))
    argv[argv.index(str(os.getpid()))] = "1"

    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()

    assert (process.returncode, output) == (75, b"")


async def test_a_lock_lasts_exactly_as_long_as_the_process(tmp_path: Path) -> None:
    first = child.start(sleeper(tmp_path))
    await asyncio.sleep(0.3)
    second = child.start(sleeper(tmp_path))
    await asyncio.sleep(0.5)
    waiting = psutil.Process(second.pid).cmdline()

    first.kill()
    await asyncio.sleep(0.5)
    running = psutil.Process(second.pid).cmdline()
    second.kill()

    assert str(child.SHIM) in waiting, "it waits for the first to end"
    assert running == list(SLEEPER), "then it becomes the program"


async def test_a_child_that_ignores_its_stop_signal_is_killed(tmp_path: Path) -> None:
    running = child.start(sleeper(tmp_path, DEAF, stop_timeout=0.3))
    await appears(tmp_path / "log", "deaf")

    code = await running.stop()

    assert code == -signal.SIGKILL


async def test_a_frozen_child_has_stopped_with_all_its_threads_until_it_thaws(
    tmp_path: Path,
) -> None:
    running = child.start(sleeper(tmp_path, BUSY))
    await appears(tmp_path / "log", "busy")

    running.freeze()
    states = {state(thread) for thread in threads(running.pid)}
    running.thaw()
    running.kill()

    assert states == {psutil.STATUS_STOPPED}


async def test_a_child_that_has_ended_cannot_be_frozen(tmp_path: Path) -> None:
    running = child.start(sleeper(tmp_path))
    running.kill()

    with pytest.raises(LocalError, match="could not be stopped"):
        running.freeze()


async def test_a_stopped_child_reports_its_signal(tmp_path: Path) -> None:
    running = child.start(sleeper(tmp_path))
    await asyncio.sleep(0.3)

    assert await running.stop() == -signal.SIGTERM
    assert await running.stop() == -signal.SIGTERM, "stopping twice is harmless"


async def test_a_child_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    failing = sleeper(tmp_path, (sys.executable, "-c", "print('no disk left'); exit(3)"))

    async def never() -> bool:
        return False

    running = child.start(dataclasses.replace(failing, ready=never))
    with pytest.raises(LocalError) as report:
        await running.until_ready()

    assert "ended with code 3" in str(report.value)
    assert "no disk left" in str(report.value)


async def test_a_program_that_does_not_exist_says_so_in_the_log(tmp_path: Path) -> None:
    running = child.start(sleeper(tmp_path, ("/nonexistent/program",)))

    assert await running.ended() == 126
    assert "cannot run /nonexistent/program" in child.tail(tmp_path / "log")


async def test_a_child_inherits_nothing_but_its_own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLM_SECRET", "hush")

    seen = await child.run(("/usr/bin/env",), env=child.plain_environment(), cwd=tmp_path)

    assert "hush" not in seen
    assert "LANG=C.UTF-8" in seen


async def test_a_child_ignores_no_signal_whatever_its_parent_ignores(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        status = await child.run(
            ("/bin/cat", "/proc/self/status"), env=child.plain_environment(), cwd=tmp_path
        )
    finally:
        signal.signal(signal.SIGHUP, before)

    mask = next(line for line in status.splitlines() if line.startswith("SigIgn")).split()[1]
    ignored = {number for number in range(1, 65) if int(mask, 16) >> (number - 1) & 1}
    assert not ignored & signal.valid_signals()  # others belong to the C library


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
async def test_a_child_of_root_gives_up_root_for_good() -> None:
    status = await child.run(
        ("/bin/cat", "/proc/self/status"),
        env=child.plain_environment(),
        cwd=Path("/"),
        user=paths.SERVER_UID,
    )

    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    assert lines["Uid"].split() == [str(paths.SERVER_UID)] * 4
    assert lines["Gid"].split() == [str(paths.SERVER_UID)] * 4
    assert lines["Groups"].split() == []
