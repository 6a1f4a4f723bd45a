"""`clm import`: history from files, sent once, with a report of what was refused."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

import msgspec
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from clm_common import catalog
from clm_common.catalog import Entry
from clm_common.clock import SystemClock
from clm_local import system
from clm_local.cli import connecting, screen
from clm_local.errors import LocalError
from clm_local.importing import run
from clm_local.importing.fieldmap import FieldMap
from clm_local.importing.progress_file import Progress
from clm_local.importing.records import digest_of
from clm_local.importing.run import Job, Refused
from clm_local.importing.sender import Sender

_SAMPLE = 160


def jobs_of(
    files: Iterable[Path], place: Path | None, destination: str, *, rate: float | None
) -> list[Job]:
    """Give what is to be imported; nothing is sent before every file and the map are looked at.

    Raises:
        LocalError: a file cannot be read, or needs a map.
        DefinitionError: the map is wrong.
    """
    entry = None if place is None else _map(place)
    text = "" if entry is None else entry.definition.model_dump_json()
    jobs: list[Job] = []
    for path in files:
        is_csv = ".csv" in path.suffixes[-2:]
        if is_csv and entry is None:
            raise LocalError("map-missing", f"{path} is a CSV: say what it holds with --map FILE.")
        parts = (digest_of(path), text if is_csv else "", destination)
        digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
        jobs.append(Job(path, entry if is_csv else None, digest, rate))
    return jobs


def destination_of(url: str | None, write_key: str | None) -> tuple[str, str]:
    """Give ingest's address and the write key, by default those of the system that runs here.

    Raises:
        LocalError: only one of the two is given, or nothing runs here.
    """
    if url:
        if write_key:
            return url, write_key
        raise LocalError("key-missing", "Say with --write-key whose history it is.")
    _, workspace = connecting.running()
    key = write_key or workspace.write_key
    if not key:
        raise LocalError("key-missing", "Say with --write-key whose history it is.")
    return system.url(workspace, "ingest"), key


def rehearse(jobs: Iterable[Job]) -> None:
    """Say what would be refused and why; nothing is sent. Ends with 1 if anything would be."""
    clean = True
    for job in jobs:
        with _bar(job) as (bar, task):
            done, samples = run.rehearse(
                job, SystemClock(), lambda _, read: bar.update(task, completed=read)
            )
        _summary(job, done, "would be sent")
        for it in samples:
            _sample(it)
        clean = clean and not done.refused
    if not clean:
        raise SystemExit(1)


def send(jobs: Iterable[Job], url: str, write_key: str) -> None:
    """Send everything that is not sent yet. Ends with 1 if anything was refused."""
    clean = True
    for job in jobs:
        with _bar(job) as (bar, task), Sender(url, write_key, bar.console.print) as sender:
            done = run.send(
                job, sender, SystemClock(), lambda _, read: bar.update(task, completed=read)
            )
        _summary(job, done, "sent")
        if done.refused:
            screen.out.print(f"  each of them, with its line: {escape(str(job.report))}")
        clean = clean and not done.refused
    if not clean:
        raise SystemExit(1)


def restart(jobs: Iterable[Job]) -> None:
    """Forget how far earlier imports came."""
    for job in jobs:
        job.resume.unlink(missing_ok=True)


def _map(place: Path) -> Entry[FieldMap]:
    try:
        text = place.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LocalError("file-unreadable", f"{place} cannot be read: {error}.") from error
    return catalog.read(text, str(place), FieldMap)


@contextmanager
def _bar(job: Job) -> Generator[tuple[Bar, TaskID]]:
    """Show a progress bar over the bytes of a job's file."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Bar(*columns, TimeRemainingColumn(), console=screen.err, transient=True) as bar:
        yield bar, bar.add_task(escape(job.path.name), total=job.path.stat().st_size)


def _summary(job: Job, done: Progress, verb: str) -> None:
    refused = sum(done.refused.values())
    screen.out.print(f"{escape(job.path.name)}: {done.sent:,} {verb}, {refused:,} refused")
    for code, count in sorted(done.refused.items(), key=lambda it: -it[1]):
        screen.out.print(f"  {count:,} of {escape(code)}")


def _sample(it: Refused) -> None:
    told = msgspec.structs.asdict(it)
    told["original"] = it.original[:_SAMPLE]
    screen.out.print(escape("  line {line}, {code}: {detail}\n    {original}".format(**told)))
