"""Apache Kafka itself as a child process: one node that is broker and controller, without Docker.

`install` fetches what it runs on, `prepare` formats a directory when it is new and describes the
process. A directory can only ever be run by one broker: the process holds a lock on it.
A restart after kill -9 takes the same path as any start.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import dataclasses
import hashlib
import signal
import struct
import tempfile
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clm_local import child, jars, java
from clm_local.child import Child
from clm_local.errors import LocalError
from clm_local.paths import Paths, directory
from clm_local.ports import HOST, free_ports
from clm_local.progress import Report, silent

FORMATTER = "kafka.tools.StorageTool"
BROKER = "kafka.Kafka"
METADATA, METADATA_VERSION = 3, 1
SETTINGS: Mapping[str, str | int] = {
    "process.roles": "broker,controller",
    "node.id": 1,
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "auto.create.topics.enable": "false",
    "default.replication.factor": 1,
    "offsets.topic.replication.factor": 1,
    "offsets.topic.num.partitions": 4,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
    "transaction.state.log.num.partitions": 4,
    "share.coordinator.state.topic.replication.factor": 1,
    "share.coordinator.state.topic.min.isr": 1,
    "group.initial.rebalance.delay.ms": 0,
    "broker.session.timeout.ms": 1500,  # with the next one: 4 s instead of 12 after kill -9
    "broker.heartbeat.interval.ms": 300,
    "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,  # the default is 128 MiB of heap
    "log.segment.bytes": 64 * 1024 * 1024,
    "num.network.threads": 2,
    "num.io.threads": 4,
}
_LEFT: Final = 60.0  # seconds after which an unpacked library is loaded, or never will be
JVM = (
    "-Xms64m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # the quick compiler alone: 30 MB less and, measured over the first
    # 400,000 messages, a third less CPU than with the thorough one, which never pays here
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",  # a file in the machine's temporary directory, for tools that we have not
    "-Xshare:auto",
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
)
LOGGING = """\
rootLogger.level=WARN
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601}{UTC}Z %p %c{1} %m%n
"""


@dataclass(frozen=True, slots=True)
class Software:
    """What a broker runs on: a Java and Kafka's jars."""

    java: java.Java
    jars: Path

    @property
    def archive(self) -> Path:
        """Where Java keeps Kafka's classes ready to map: halves the start, and is only a cache."""
        seed = f"{self.java.program}\n{self.java.description}\n{jars.classpath(self.jars)}"
        return self.jars / f"classes-{hashlib.sha256(seed.encode()).hexdigest()[:16]}.jsa"

    @property
    def scratch(self) -> Path:
        """Where Java unpacks native libraries; a broker that is killed leaves its own there."""
        return self.jars / "native"

    def command(self, home: Path, main: str, *arguments: str, archive: str = "") -> tuple[str, ...]:
        """Give the command line of one of Kafka's programs."""
        ready = self.archive.exists() and self.archive.stat().st_size > 0
        cache = archive or (f"-XX:SharedArchiveFile={self.archive}" if ready else "")
        return (
            str(self.java.program),
            *JVM,
            *([cache] if cache else []),
            f"-Djava.io.tmpdir={self.scratch}",
            f"-Dlog4j2.configurationFile={home / 'log4j2.properties'}",
            "-cp",
            jars.classpath(self.jars),
            main,
            *arguments,
        )


def tidy(scratch: Path) -> None:
    """Make the directory of unpacked libraries, and remove what killed brokers left there.

    What runs has its library loaded at once, and does not need the file any more.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    for leftover in scratch.iterdir():
        with contextlib.suppress(OSError):  # another start was quicker
            if time.time() - leftover.stat().st_mtime > _LEFT:
                leftover.unlink()


def install(paths: Paths, report: Report = silent) -> Software:
    """Fetch what is missing: the jars, and a Java if there is none; blocking, safe to interrupt.

    Raises:
        LocalError: something cannot be had; the message says what to do.
    """
    jars.fetch(paths.jars, report=report)
    return Software(java.ensure(paths.java), paths.jars)


async def prepare(
    home: Path,
    software: Software,
    *,
    port: int,
    controller_port: int,
    log_path: Path,
    name: str = "kafka",
) -> Child:
    """Make `home` ready to be run by a broker on `port`, and describe its process.

    Ports may differ from those of the last run.

    Raises:
        LocalError: the directory cannot be used, or formatting failed.
    """
    tidy(software.scratch)
    await archive_classes(software)
    return await _prepare(home, software, (port, controller_port), log_path, name)


async def _prepare(
    home: Path, software: Software, ports: tuple[int, int], log_path: Path, name: str
) -> Child:
    directory(home)
    (home / "log4j2.properties").write_text(LOGGING)
    (home / "server.properties").write_text(_properties(home / "data", *ports))
    if not (home / "data" / "meta.properties").exists():
        await _format(home, software, ports)
    return Child(
        name=name,
        argv=software.command(home, BROKER, str(home / "server.properties")),
        env=_environment(),
        cwd=home,
        log_path=log_path,
        ready=lambda: answers(ports[0]),
        lock=home / "lock",
        stop_timeout=30,
        start_timeout=120,
    )


async def answers(port: int, host: str = HOST) -> bool:
    """Whether a broker answers on the port and counts itself among the living."""
    try:
        async with asyncio.timeout(1.0):
            return await _brokers(host, port) > 0
    except (OSError, TimeoutError, EOFError):
        return False


async def _brokers(host: str, port: int) -> int:
    """Ask for the cluster's metadata without any topic, and give the number of brokers."""
    request = struct.pack(">hhihi", METADATA, METADATA_VERSION, 1, -1, 0)
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(struct.pack(">i", len(request)) + request)
        _size, _correlation, brokers = struct.unpack(">iii", await reader.readexactly(12))
        return int(brokers)
    finally:
        writer.close()


async def _format(home: Path, software: Software, ports: tuple[int, int]) -> None:
    """Format a new data directory: into a draft first, so that half of one is never used."""
    data = home / "data"
    if data.exists() and any(data.iterdir()):
        raise LocalError(
            "kafka-data-unknown",
            f"{data} holds something that Kafka did not format. Move it away or remove it.",
            path=str(data),
        )
    with tempfile.TemporaryDirectory(prefix=".format-", dir=home) as scratch:
        draft = Path(scratch, "data")
        settings = Path(scratch, "server.properties")
        await asyncio.to_thread(settings.write_text, _properties(draft, *ports))
        await child.run(
            software.command(
                home,
                FORMATTER,
                *("format", "--standalone", "-t", _cluster_id(), "-c", str(settings)),
            ),
            env=_environment(),
            cwd=home,
        )
        await asyncio.to_thread(draft.replace, data)


async def archive_classes(software: Software) -> None:
    """Run a broker once in a scratch directory and have Java keep the classes that it loaded.

    Takes some seconds, once for each Java. An empty archive says that this Java cannot do it.
    Kafka runs without, too: a failure costs half of each start and no more.
    """
    archive = software.archive
    if archive.exists():
        return
    for outdated in archive.parent.glob("classes-*.jsa"):
        outdated.unlink()
    with tempfile.TemporaryDirectory(prefix=".classes-", dir=archive.parent) as scratch:
        home = Path(scratch)
        draft = home / "classes.jsa"
        try:
            code = await _run_once(home, software, draft)
        except LocalError:
            return
        if code == -signal.SIGKILL:  # it was not given the time: perhaps next time
            return
        if not draft.exists():
            draft.touch()
        draft.replace(archive)


async def _run_once(home: Path, software: Software, archive: Path) -> int:
    """Run a broker until it is ready, and give its exit code."""
    port, controller_port = free_ports(2)
    log_path = home / "log"
    plain = await _prepare(home, software, (port, controller_port), log_path, "kafka")
    argv = software.command(
        home,
        BROKER,
        str(home / "server.properties"),
        archive=f"-XX:ArchiveClassesAtExit={archive}",
    )
    broker = child.start(dataclasses.replace(plain, argv=argv, stop_timeout=120))
    try:
        await broker.until_ready()
    except BaseException:
        broker.kill()
        raise
    return await broker.stop()


def _properties(data: Path, port: int, controller_port: int) -> str:
    """Give the text of server.properties."""
    broker, controller = f"PLAINTEXT://{HOST}:{port}", f"CONTROLLER://{HOST}:{controller_port}"
    settings = {
        **SETTINGS,
        "listeners": f"{broker},{controller}",
        "advertised.listeners": broker,
        "controller.quorum.bootstrap.servers": f"{HOST}:{controller_port}",
        "log.dirs": data,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _cluster_id() -> str:
    """Make a cluster id: 22 characters, the first of them no dash."""
    while True:
        name = base64.urlsafe_b64encode(uuid.uuid4().bytes)[:22].decode()
        if not name.startswith("-"):
            return name


def _environment() -> dict[str, str]:
    return child.plain_environment(MALLOC_ARENA_MAX="2")
