"""Kafka's jars: a committed lock says which; they come from a Maven repository and are checked.

Every jar is checked against its sha256 at every start; a missing or damaged one is fetched again,
the others are kept, so an interrupted fetch goes on where it was. jgo, a Maven client, does the
fetching and knows where Maven's central repository is; `CLM_MAVEN_MIRROR` names another repository.
A jar that Maven's own cache already has (`M2_REPO`, `~/.m2/repository`) is copied from there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from clm_local.errors import LocalError
from clm_local.paths import directory
from clm_local.progress import Report, silent

LOCK = Path(__file__).with_name("kafka-jars.lock")
ATTEMPTS = 4
AT_ONCE = 4
TIMEOUT = 30


@dataclass(frozen=True, slots=True)
class Jar:
    """One artifact of the lock."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int

    @property
    def file(self) -> str:
        """Its file name."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def in_maven(self) -> Path:
        """Its path in any Maven repository."""
        return Path(*self.group.split("."), self.artifact, self.version, self.file)

    def is_whole(self, path: Path) -> bool:
        """Whether the file is there and is exactly this jar."""
        try:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256
        except OSError:
            return False


def locked(lock: Path = LOCK) -> tuple[Jar, ...]:
    """Read the lock."""
    jars: list[Jar] = []
    for line in lock.read_text().splitlines():
        if line and not line.startswith("#"):
            coordinates, sha256, size = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, sha256, int(size)))
    return tuple(jars)


def classpath(place: Path) -> str:
    """Give the class path, always in the lock's order: Java's class archive depends on it."""
    return os.pathsep.join(str(place / jar.file) for jar in locked())


def missing(place: Path, jars: Sequence[Jar] | None = None) -> tuple[Jar, ...]:
    """Give the jars that are not there, or not whole."""
    wanted = locked() if jars is None else jars
    return tuple(jar for jar in wanted if not jar.is_whole(place / jar.file))


def fetch(
    place: Path, *, jars: Sequence[Jar] | None = None, report: Report = silent
) -> tuple[Jar, ...]:
    """See to it that all jars are in `place`, and give those that had to be fetched.

    Safe to interrupt, to repeat, and to call from several processes at once.

    Raises:
        LocalError: a jar cannot be had, after several attempts.
    """
    wanted = locked() if jars is None else tuple(jars)
    if not missing(place, wanted):
        return ()
    directory(place)
    with _alone(place):
        for leftover in place.glob(".fetch-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        absent = missing(place, wanted)
        _Fetch(place, wanted, absent, report).run()
    return absent


class _Fetch:
    """One run of fetching: some jars at a time, one bar for all."""

    def __init__(
        self, place: Path, wanted: Sequence[Jar], absent: Sequence[Jar], report: Report
    ) -> None:
        self._place = place
        self._absent = absent
        self._report = report
        self._total = sum(jar.size for jar in wanted)
        self._done = self._total - sum(jar.size for jar in absent)
        self._guard = threading.Lock()
        self._given_up = threading.Event()

    def run(self) -> None:
        """Fetch all that is absent; the first failure, or ctrl-C, ends the rest at once."""
        workers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="jars")
        try:
            for work in [workers.submit(self._one, jar) for jar in self._absent]:
                work.result()
        finally:
            self._given_up.set()
            workers.shutdown(cancel_futures=True)

    def _one(self, jar: Jar) -> None:
        if self._copy(jar):
            return
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt and self._given_up.wait(2.0 ** (attempt - 1)):
                return
            try:
                self._download(jar)
            except LocalError:
                raise
            except Exception as error:  # noqa: BLE001  (jgo raises what requests, OSError and RuntimeError have to offer)
                reason = str(error)
            else:
                return
        raise LocalError(
            "jar-not-fetched",
            f"Cannot fetch {jar.file}: {reason or 'unknown'}. "
            "What is here is kept: try again; or set CLM_MAVEN_MIRROR to a Maven repository "
            "that this machine can reach.",
            jar=jar.file,
        )

    def _copy(self, jar: Jar) -> bool:
        """Take it from Maven's own cache, if it is there and whole."""
        source = _maven_cache() / jar.in_maven
        if not jar.is_whole(source):
            return False
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=self._place) as draft:
            shutil.copyfile(source, Path(draft) / jar.file).replace(self._place / jar.file)
        self._progress(jar.size)
        return True

    def _download(self, jar: Jar) -> None:
        """Download into a draft, check it, and only then put it in its place."""
        arrived = 0

        def count(size: int) -> None:
            nonlocal arrived
            if self._given_up.is_set():
                raise LocalError("given-up", "the fetch of Kafka's jars was interrupted")
            arrived += size
            self._progress(size)

        try:
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=self._place) as draft:
                path = _by_jgo(jar, Path(draft), count)
                _put(jar, path, self._place / jar.file)
        except BaseException:
            self._progress(-arrived)
            raise

    def _progress(self, size: int) -> None:
        with self._guard:
            self._done += size
            self._report("Apache Kafka", self._done, self._total)


def _by_jgo(jar: Jar, draft: Path, count: Callable[[int], None]) -> Path:
    """Have jgo download one artifact, without its dependencies, from the repository."""
    from jgo.maven import MavenContext, PythonResolver

    @contextlib.contextmanager
    def progress(_name: str, _size: int) -> Generator[Callable[[int], None]]:
        yield count

    mirror = os.environ.get("CLM_MAVEN_MIRROR")
    context = MavenContext(
        resolver=PythonResolver(progress_callback=progress),
        repo_cache=draft,
        remote_repos={"mirror": mirror.rstrip("/")} if mirror else None,
        timeout=TIMEOUT,
    )
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    path = context.resolver.download(artifact)
    if path is None:
        raise ValueError("the repository does not have it")
    return path


def _put(jar: Jar, path: Path, target: Path) -> None:
    """Put a downloaded jar in its place if it is what the lock says."""
    if not jar.is_whole(path):
        raise ValueError("its sha256 is not the one in the lock")
    path.replace(target)


def _maven_cache() -> Path:
    """Where Maven keeps what it fetched for this user."""
    return Path(os.environ.get("M2_REPO") or Path.home() / ".m2" / "repository")


@contextlib.contextmanager
def _alone(place: Path) -> Generator[None]:
    """Let one process fetch at a time."""
    with (place / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
