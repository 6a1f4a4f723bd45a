"""The supervisor with real processes: small Python scripts in place of servers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from clm_local import supervisor as module
from clm_local.child import Child, plain_environment
from clm_local.processes import process
from clm_local.state import ChildState, Phase
from clm_local.supervisor import Supervisor, set_aside

SERVE = "import pathlib,sys,time; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
CRASH = "print('no such setting: CLM_X', flush=True); raise SystemExit(78)"
LAST_WORDS = """
import pathlib, signal, sys, time
def leave(*_):
    with open(sys.argv[2], "a") as order:
        order.write(sys.argv[3] + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
pathlib.Path(sys.argv[1]).touch()
while True:
    time.sleep(600)
"""


def dummy(place: Path, name: str, script: str, *arguments: str) -> Child:
    sign = place / f"{name}.up"

    async def ready() -> bool:
        return sign.exists()

    return Child(
        name=name,
        argv=(sys.executable, "-c", script, str(sign), *arguments),
        env=plain_environment(),
        cwd=place,
        log_path=place / f"{name}.log",
        ready=ready,
        stop_timeout=5.0,
    )


@contextlib.asynccontextmanager
async def running(*tiers: list[Child]) -> AsyncGenerator[Supervisor]:
    stop = asyncio.Event()
    supervisor = Supervisor(tiers, lambda: None)
    supervisor.open_gate()
    task = asyncio.create_task(supervisor.run(stop))
    try:
        yield supervisor
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


async def eventually(claim: Callable[[], bool | Awaitable[bool]], seconds: float = 5.0) -> float:
    started = time.monotonic()
    while True:
        verdict = claim()
        if verdict if isinstance(verdict, bool) else await verdict:
            return time.monotonic() - started
        assert time.monotonic() - started < seconds, "it did not come true in time"
        await asyncio.sleep(0.02)


def state(supervisor: Supervisor, name: str) -> ChildState:
    return supervisor.children[name]


async def test_a_killed_child_is_back_within_five_seconds(tmp_path: Path) -> None:
    async with running([dummy(tmp_path, "shop", SERVE)]) as supervisor:
        await asyncio.wait_for(supervisor.ready("shop"), 5)
        first = state(supervisor, "shop").process
        assert first is not None

        os.kill(first.pid, signal.SIGKILL)
        took = await eventually(
            lambda: (
                state(supervisor, "shop").process not in {None, first}
                and state(supervisor, "shop").phase is Phase.READY
            )
        )

        assert took < 5
        assert state(supervisor, "shop").ends == 1
        assert state(supervisor, "shop").code == -signal.SIGKILL
        assert not first.alive


async def test_a_child_that_crashes_at_once_is_reported_as_a_crash_loop(tmp_path: Path) -> None:
    async with running([dummy(tmp_path, "shop", CRASH)]) as supervisor:
        await eventually(lambda: state(supervisor, "shop").looping)

        assert state(supervisor, "shop").code == 78
        assert "no such setting" in (tmp_path / "shop.log").read_text()


async def test_a_crash_loop_backs_off(tmp_path: Path) -> None:
    async with running([dummy(tmp_path, "shop", CRASH)]) as supervisor:
        await asyncio.sleep(2.5)

        assert 2 <= state(supervisor, "shop").ends <= 5


async def test_a_child_that_settles_is_no_crash_loop_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLED", 0.5)
    async with running([dummy(tmp_path, "shop", SERVE)]) as supervisor:
        await supervisor.ready("shop")
        found = state(supervisor, "shop").process
        assert found is not None
        os.kill(found.pid, signal.SIGKILL)
        await eventually(lambda: state(supervisor, "shop").quick == 1)

        await eventually(lambda: state(supervisor, "shop").quick == 0)


async def test_what_others_lean_on_is_ended_last(tmp_path: Path) -> None:
    order = tmp_path / "order"
    server = dummy(tmp_path, "server", LAST_WORDS, str(order), "server")
    service = dummy(tmp_path, "service", LAST_WORDS, str(order), "service")

    async with running([server], [service]) as supervisor:
        await supervisor.ready("server")
        await supervisor.ready("service")

    assert order.read_text().split() == ["service", "server"]


async def test_what_leans_on_others_waits_at_the_gate(tmp_path: Path) -> None:
    stop = asyncio.Event()
    tiers = [[dummy(tmp_path, "server", SERVE)], [dummy(tmp_path, "service", SERVE)]]
    supervisor = Supervisor(tiers, lambda: None)
    task = asyncio.create_task(supervisor.run(stop))
    await supervisor.ready("server")
    waited = state(supervisor, "service").process

    supervisor.open_gate()
    await asyncio.wait_for(supervisor.ready("service"), 5)
    stop.set()
    await task

    assert waited is None


async def test_stopping_during_a_pause_starts_nothing_again(tmp_path: Path) -> None:
    async with running([dummy(tmp_path, "shop", CRASH)]) as supervisor:
        await eventually(lambda: state(supervisor, "shop").phase is Phase.PAUSED)

    assert state(supervisor, "shop").phase is Phase.STOPPED
    assert state(supervisor, "shop").process is None


async def test_a_child_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SERVE}"
    stubborn = replace(dummy(tmp_path, "deaf", deaf), stop_timeout=0.3)

    async with running([stubborn]) as supervisor:
        await supervisor.ready("deaf")
        found = state(supervisor, "deaf").process

    assert found is not None
    assert not found.alive


async def test_everything_dies_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_supervisor_children import dummy, LAST_WORDS, SERVE
from clm_local.supervisor import Supervisor
place = Path({str(tmp_path)!r})
supervisor = Supervisor([[dummy(place, "one", SERVE)], [dummy(place, "two", SERVE)]], lambda:
    [print(it.process.pid, flush=True) for it in supervisor.children.values() if it.process])
supervisor.open_gate()
asyncio.run(supervisor.run(asyncio.Event()))
"""
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    await eventually(lambda: (tmp_path / "one.up").exists() and (tmp_path / "two.up").exists(), 10)

    owner.kill()
    output, _ = await owner.communicate()

    pids = {line for line in output.decode().splitlines() if line.isdigit()}
    children = [process(int(pid)) for pid in pids]  # between them stand log lines
    assert len(children) == 2
    await eventually(lambda: not any(it.alive for it in children))


def test_an_overgrown_log_is_set_aside_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "shop.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 2000)

        set_aside(log, limit=1000)
        writer.write(b"after\n")

    assert log.read_bytes() == b"after\n"
    assert (tmp_path / "shop.log.1").stat().st_size == 2000
