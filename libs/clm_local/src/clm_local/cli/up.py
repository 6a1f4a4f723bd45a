"""`clm up`: start everything and wait until it is ready."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec

from clm_local import daemon, paths, processes, progress, state, system, tokens
from clm_local.child import tail
from clm_local.cli import screen, welcome
from clm_local.errors import LocalError
from clm_local.paths import Paths
from clm_local.state import Phase, Run, Workspace
from clm_local.system import System

PATIENCE = 180.0
PULSE = 0.05


def run(*, foreground: bool) -> None:
    """Start what does not run yet, and say how to use it."""
    place = paths.find().prepare()
    started = time.monotonic()
    if daemon.taken(place):
        if foreground:
            raise LocalError("already-running", "It runs already: `clm status`, or `clm down`.")
        screen.out.print("It runs already.")
    else:
        with daemon.alone(place):
            made = prepare(place)
            if foreground:
                stay(made)
                return
            daemon.detach(lambda: work(made), log=system.log_path(place, "supervisor"))
    wait(place, started)
    welcome.show(place)


def prepare(place: Paths) -> System:
    """Clear away what a crash has left, fetch what is missing, and choose ports.

    Raises:
        LocalError: something cannot be had or used.
    """
    clear(place)
    before = state.load_workspace(place) or Workspace()
    with progress.bars(screen.out) as report:
        software = system.install(place, report)
    with screen.out.status("Preparing the servers"):
        made = asyncio.run(system.prepare(place, before, software))
    workspace = with_token(place, made.workspace)
    state.save_workspace(place, workspace)
    for name, (wanted, chosen) in system.moved(before.ports, workspace.ports).items():
        screen.out.print(f"  Port {wanted} is in use: {name} is on {chosen}.")
    return made


def clear(place: Paths) -> None:
    """End what outlived a supervisor that was killed; usually nothing."""
    stale = state.load_run(place)
    if stale is None:
        return
    left = processes.left_of(place.data, stale.processes())
    if stubborn := processes.end(left, patience=15.0):
        pids = ", ".join(str(it.pid) for it in stubborn)
        raise LocalError(
            "not-mine-to-end",
            f"Processes of an earlier run cannot be ended: {pids}. End them as their user.",
        )
    state.run_file(place).unlink(missing_ok=True)


def with_token(place: Paths, workspace: Workspace) -> Workspace:
    """Give the workspace with a token that is good for a while yet."""
    now = int(time.time())
    if workspace.token and workspace.token_until > now + tokens.RENEWED_BEFORE:
        return workspace
    minted = tokens.mint(place, workspace.key, scopes=("admin",), seconds=tokens.LIFE)
    return msgspec.structs.replace(workspace, token=minted, token_until=now + tokens.LIFE)


def work(made: System) -> int:
    """Be the supervisor."""
    from clm_common import telemetry
    from clm_local.runner import Runner

    telemetry.configure("supervisor")
    asyncio.run(Runner(made).run())
    return 0


def stay(made: System) -> None:
    """Be the supervisor in this terminal."""
    from clm_common import telemetry
    from clm_local.runner import Runner

    telemetry.configure("supervisor", form="console")

    async def serve() -> None:
        runner = Runner(made)
        greeting = asyncio.create_task(_greet(runner.ready, made.paths))
        await runner.run()
        greeting.cancel()

    asyncio.run(serve())


async def _greet(ready: asyncio.Event, place: Paths) -> None:
    await ready.wait()
    welcome.show(place)
    screen.out.print("Ctrl-C stops everything.")


def wait(place: Paths, started: float) -> None:
    """Return when everything is ready; show how it gets on.

    Raises:
        LocalError: it will not be, or not in time; the message says where to look.
    """
    announced: set[str] = set()
    deadline = time.monotonic() + PATIENCE
    with screen.out.status("Starting") as spinner:
        while not (run := _present(place)) or not run.ready:
            if run:
                _announce(run, announced)
                missing = [name for name in run.children if name not in announced]
                spinner.update(f"Waiting for {', '.join(missing) or 'the first source'}")
                _check(run)
            if time.monotonic() > deadline:
                raise _too_slow(run)
            time.sleep(PULSE)
        _announce(run, announced)
    screen.out.print(f"Ready after {time.monotonic() - started:.1f} s.")


def _present(place: Paths) -> Run | None:
    run = state.load_run(place)
    if run and run.running:
        return run
    if not daemon.taken(place):
        log = system.log_path(place, "supervisor")
        raise LocalError("supervisor-died", f"The supervisor ended. The end of {log}:\n{tail(log)}")
    return None


def _announce(run: Run, announced: set[str]) -> None:
    for name, child in run.children.items():
        if child.phase is Phase.READY and name not in announced:
            announced.add(name)
            screen.out.print(f"  {screen.GOOD} {name:<13} {child.ready_after or 0:5.1f} s")


def _check(run: Run) -> None:
    for name, child in run.children.items():
        if child.looping:
            raise LocalError(
                "crash-loop",
                f"{name} cannot start (exit code {child.code}). The end of {child.log}:\n"
                f"{tail(Path(child.log))}\n\n"
                f"It is tried again and again: mend it, then `clm up` waits on, or `clm down`.",
            )


def _too_slow(run: Run | None) -> LocalError:
    children = run.children.items() if run else ()
    missing = [name for name, child in children if child.phase is not Phase.READY]
    what = ", ".join(missing) or "the supervisor"
    problem = f" {run.problem}" if run and run.problem else ""
    log = missing[0] if missing else "supervisor"
    return LocalError(
        "not-ready",
        f"Not ready after {PATIENCE:.0f} s: {what}.{problem} "
        f"See `clm logs {log}` and `clm doctor`.",
    )
