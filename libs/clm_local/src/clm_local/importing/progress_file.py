"""How far the import of a file is, kept beside it: what an interrupted import goes on from.

It is written only after ingest has acknowledged a batch and the report is on the disk, and is
replaced whole. A crash at any moment costs at most one batch that is sent twice, and counts once.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct

from clm_local.errors import LocalError


class Progress(Struct, frozen=True):
    """How far an import is.

    Attributes:
        job: the digest of everything that makes it this import: file, map, destination.
        records: how many of the file's records are dealt with.
        sent: how many of them ingest has taken.
        refused: how many were refused, by reason.
        report: how long the report of refused lines is, in bytes.
    """

    job: str
    records: int = 0
    sent: int = 0
    refused: dict[str, int] = {}
    report: int = 0


def load(path: Path, job: str) -> Progress:
    """Give how far a job is; from the start if the file is of another one, or of none.

    Raises:
        LocalError: what lies there is something else.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Progress)
    except FileNotFoundError:
        return Progress(job)
    except (OSError, msgspec.DecodeError) as error:
        wrong = f"{path} does not say how far an import is ({error}); remove it to start anew."
        raise LocalError("progress-unreadable", wrong) from error
    return found if found.job == job else Progress(job)


def save(path: Path, progress: Progress) -> None:
    """Replace the file, so that a reader sees the old or the new and the disk has it."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as file:
        file.write(msgspec.json.encode(progress))
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
