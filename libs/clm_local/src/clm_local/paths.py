"""Where the local system keeps its things: one data directory, laid out once, here.

`CLM_DATA_DIR` names it; otherwise it is `.clm/` in the project.
PostgreSQL refuses to run as root and runs as another user, who must reach its data; so for root the
directory is below `/var/lib/clm`, named after the project.
Everything fetched or made lives inside, so removing the directory leaves nothing behind.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from clm_local.errors import LocalError

SERVER_UID = 65534
"""Whom PostgreSQL runs as when the system is started by root ("nobody", on every Linux)."""


@dataclass(frozen=True, slots=True)
class Paths:
    """The layout of one data directory; the properties only name places, `prepare` makes them."""

    data: Path

    @property
    def downloads(self) -> Path:
        """What was fetched once: jars, Java, PostgreSQL's programs."""
        return self.data / "downloads"

    @property
    def jars(self) -> Path:
        """Kafka's jars."""
        return self.downloads / "kafka"

    @property
    def java(self) -> Path:
        """A Java of our own, where the machine has none that is new enough."""
        return self.downloads / "java"

    @property
    def programs(self) -> Path:
        """PostgreSQL's programs, copied to where its own user can reach them."""
        return self.downloads / "postgres"

    @property
    def kafka(self) -> Path:
        """The broker's directory: settings, log segments, lock."""
        return self.data / "kafka"

    @property
    def postgres(self) -> Path:
        """The database server's directory: cluster, password, lock."""
        return self.data / "postgres"

    @property
    def mail(self) -> Path:
        """The caught mails, one file each."""
        return self.data / "mail"

    @property
    def logs(self) -> Path:
        """One log a process."""
        return self.data / "logs"

    def prepare(self) -> Paths:
        """Make the data directory and those below it; safe to repeat.

        Raises:
            LocalError: it cannot be made or belongs to somebody else.
        """
        passage = 0o711 if is_root() else 0o700
        if is_root():
            self.data.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        for place in (self.data, self.downloads):
            directory(place, mode=passage)
        for place in (self.logs, self.mail):
            directory(place)
        return self


def find(environ: Mapping[str, str] | None = None) -> Paths:
    """Decide where the data directory is; nothing is made yet."""
    given = (os.environ if environ is None else environ).get("CLM_DATA_DIR")
    if given:
        return Paths(Path(given).expanduser().absolute())
    root = project_root()
    if not is_root():
        return Paths(root / ".clm")
    mark = hashlib.sha256(os.fsencode(root)).hexdigest()[:8]
    return Paths(Path("/var/lib/clm") / f"{root.name}-{mark}")


def project_root() -> Path:
    """Give the checkout that this module is part of, else the working directory."""
    for place in Path(__file__).resolve().parents:
        if (place / "libs" / "clm_local" / "pyproject.toml").is_file():
            return place
    return Path.cwd()


def is_root() -> bool:
    """Whether we run as root, and PostgreSQL therefore needs another user."""
    return os.geteuid() == 0


def server_user() -> int | None:
    """Whom PostgreSQL must run as: None for ourselves."""
    return SERVER_UID if is_root() else None


def directory(place: Path, *, mode: int = 0o700, owner: int | None = None) -> Path:
    """Make a directory with exactly this mode and owner; safe to repeat.

    Raises:
        LocalError: it cannot be made or belongs to somebody else.
    """
    try:
        place.mkdir(mode=mode, parents=True, exist_ok=True)
        if owner is not None:
            os.chown(place, owner, owner)
        place.chmod(mode)
    except OSError as error:
        raise LocalError(
            "directory-refused",
            f"Cannot make {place} ready for use ({error.strerror}). "
            "Remove it, or set CLM_DATA_DIR to a directory that you own.",
            path=str(place),
        ) from error
    return place


def write_secret(place: Path, secret: str, *, owner: int | None = None) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = place.with_name(f".{place.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        if owner is not None:
            os.fchown(descriptor, owner, owner)
        file.write(secret)
    draft.replace(place)
