"""What every service's process does: read settings, serve, prepare, work, and end in good order.

A service's `__main__` calls `run(name, Settings, build)`; `build`, in its `app.py`, opens what the
service needs and yields a `Service`. The process serves `/health` from the first moment; it waits
for servers that are away, and ends with a message when waiting cannot help.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn, TypeVar

import structlog
import uvloop

from clm_common import telemetry
from clm_common.errors import DefinitionError, SettingsError
from clm_common.runtime import collector
from clm_common.runtime.front import ASGIApp, Front, Ops
from clm_common.runtime.listener import Listener, listen
from clm_common.runtime.probes import Ping, Probes
from clm_common.runtime.retry import until_available
from clm_common.settings import ServiceSettings, load, unknown_variables

log = structlog.get_logger()

CONFIG: Final = 78
"""Exit code of a process that cannot start as it is configured (`EX_CONFIG` of sysexits.h)."""

_LAST_CHANCE: Final = 2.0

Task = Callable[[asyncio.Event], Coroutine[Any, Any, None]]  # Any: what a coroutine is made of
Prepare = Callable[[], Awaitable[None]]

S = TypeVar("S", bound=ServiceSettings)
T = TypeVar("T")


async def _nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What `build` yields: the parts of a service that the process drives.

    Attributes:
        app: answers HTTP: a FastAPI app, or a shim (any ASGI app) in front of one. Its ASGI
            lifespan is never run: `build` opens and closes everything.
        pings: what must answer for the service to be ready, by name.
        prepare: brings the world up to date (migrations, topics, definitions) before the tasks
            start; tried again while it raises `Unavailable`, so it must be repeatable. Any other
            error ends the process.
        tasks: what runs beside HTTP, by name. Each gets the event that tells it to stop and then
            returns soon. One that ends before is a defect: the process ends with exit code 1, so
            that its supervisor starts it anew.
    """

    app: ASGIApp
    pings: Mapping[str, Ping] = field(default_factory=dict[str, Ping])
    prepare: Prepare = _nothing
    tasks: Mapping[str, Task] = field(default_factory=dict[str, Task])


Build = Callable[[S], AbstractAsyncContextManager[Service]]
Early = Callable[[S], ASGIApp]


def run(
    name: str, settings_class: type[S], build: Build[S], early: Early[S] | None = None
) -> NoReturn:
    """Be the process of a service, until SIGTERM or SIGINT; never returns.

    Args:
        name: the service's name, for logs and probes.
        settings_class: what it is told from outside.
        build: opens its resources and yields it. It may raise `Unavailable`: it is entered again.
        early: gives what answers HTTP until it is there, if that is not problem+json.
    """
    try:
        settings = load(settings_class)
    except SettingsError as error:
        _refuse(name, error)
    telemetry.configure(
        name, form=settings.log_format, level=settings.log_level, ids={"worker": settings.worker_id}
    )
    for variable, likely in unknown_variables(settings_class).items():
        log.warning("settings.unknown", variable=variable, did_you_mean=likely)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            sys.exit(runner.run(_until_signalled(name, settings, build, early)))
        except (SettingsError, DefinitionError) as error:
            log.error("service.refused", reason=error.slug, detail=str(error))  # noqa: TRY400 - a trace says nothing here
            _refuse(name, error)


def _refuse(name: str, error: Exception) -> NoReturn:
    for line in str(error).splitlines():
        sys.stderr.write(f"{name}: {line}\n")
    sys.exit(CONFIG)


async def _until_signalled(name: str, settings: S, build: Build[S], early: Early[S] | None) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await serve(name, settings, build, stop=stop, early=early)


async def serve(
    name: str,
    settings: S,
    build: Build[S],
    *,
    stop: asyncio.Event,
    listening: Callable[[int], None] | None = None,
    early: Early[S] | None = None,
) -> int:
    """Serve until `stop` is set, then drain; `run` without process-wide effects.

    Args:
        name: the service's name.
        settings: its settings.
        build: opens its resources and yields it.
        stop: set it to end.
        listening: told the port as soon as it is bound.
        early: gives what answers HTTP until the service is there.

    Returns:
        The process's exit code: 0 after an orderly end, 1 when a task died.

    Raises:
        SettingsError: something it is told cannot work, for example a port in use.
        DefinitionError: a definition or the state of the world that waiting cannot mend.
    """
    probes = Probes(name)
    front = Front(
        probes, ops=settings.ops_port is None, early=None if early is None else early(settings)
    )
    async with AsyncExitStack() as listeners:
        http = listen(front, settings.http_host, settings.http_port, settings.stop_seconds)
        port = await listeners.enter_async_context(http.running())
        if settings.ops_port is not None:
            ops = listen(Ops(probes), settings.http_host, settings.ops_port, settings.stop_seconds)
            await listeners.enter_async_context(ops.running())
        log.info("service.listening", host=settings.http_host, port=port)
        if listening is not None:
            listening(port)
        try:
            code = await _live(settings, build, front, probes, http, stop)
        finally:
            probes.state = "stopping"
        log.info("service.ended", code=code)
        return code


async def _live(
    settings: S,
    build: Build[S],
    front: Front,
    probes: Probes,
    http: Listener,
    stop: asyncio.Event,
) -> int:
    """Open, prepare, work and drain, in one task, so that scopes of `build` may span all of it."""
    async with AsyncExitStack() as resources:
        try:
            async with _broken_off_by(stop):
                service = await _open(build, settings, resources)
                probes.pings = service.pings
                await until_available(service.prepare, what="service.prepare")
                front.app = service.app
        except _Stopped:
            return 0
        collector.calm()
        probes.state = "running"
        return await _work(service, settings, probes, http, stop)


async def _open(build: Build[S], settings: S, resources: AsyncExitStack) -> Service:
    async def attempt() -> Service:
        return await resources.enter_async_context(build(settings))

    return await until_available(attempt, what="service.open")


async def _work(
    service: Service, settings: ServiceSettings, probes: Probes, http: Listener, stop: asyncio.Event
) -> int:
    """Run the tasks until the process is told to stop or one of them dies; then drain."""
    leave = asyncio.Event()
    tasks = {
        name: asyncio.create_task(task(leave), name=name) for name, task in service.tasks.items()
    }
    told = asyncio.create_task(stop.wait())
    await asyncio.wait({told, http.task, *tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    died = [name for name, task in tasks.items() if task.done()]
    probes.state = "stopping"
    log.info("service.draining", died=died)
    if not died:
        await asyncio.sleep(settings.drain_seconds)
    leave.set()
    http.stop()
    await _finish({"http": http.task, **tasks}, settings.stop_seconds)
    failed = [name for name, task in tasks.items() if _failed(name, task)]
    return 1 if died or failed else 0


async def _finish(tasks: Mapping[str, asyncio.Task[None]], seconds: float) -> None:
    """Wait for tasks that were told to stop; cancel those that do not."""
    _, late = await asyncio.wait(tasks.values(), timeout=seconds)
    for task in late:
        log.warning("service.late", task=task.get_name(), seconds=seconds)
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=_LAST_CHANCE)


def _failed(name: str, task: asyncio.Task[None]) -> bool:
    """Tell whether a task ended by an error, and log it."""
    if not task.done() or task.cancelled() or (error := task.exception()) is None:
        return False
    log.error("service.task_died", task=name, exc_info=error)
    return True


class _Stopped(Exception):
    """The process was told to stop before it was ready."""


@asynccontextmanager
async def _broken_off_by(stop: asyncio.Event) -> AsyncGenerator[None]:
    """Run a block, but break it off with `_Stopped` as soon as `stop` is set."""
    scope = asyncio.timeout(None)
    try:
        async with scope:
            watcher = asyncio.create_task(_expire(scope, stop))
            try:
                yield
            finally:
                watcher.cancel()
    except TimeoutError:
        if scope.expired():
            raise _Stopped from None
        raise


async def _expire(scope: asyncio.Timeout, stop: asyncio.Event) -> None:
    await stop.wait()
    scope.reschedule(asyncio.get_running_loop().time())
