"""The import of one file: judge, send, report, and remember, batch by batch in the file's order."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Final

import msgspec
from msgspec import Struct

from clm_common.catalog import Entry
from clm_common.clock import Clock
from clm_ingest.core.glimpse import Fault
from clm_local.importing import progress_file
from clm_local.importing.fieldmap import FieldMap
from clm_local.importing.judging import body_of, judge
from clm_local.importing.progress_file import Progress
from clm_local.importing.records import Record, records_of
from clm_local.importing.sender import Sender

EVENTS: Final = 1_000
"""Events in a batch, at most."""

BYTES: Final = 2 * 1024 * 1024
"""Bytes of a batch's events, at most; one that has more is sent alone."""


class Job(Struct, frozen=True):
    """What is to be imported.

    Attributes:
        path: the file.
        entry: the field map of a CSV.
        digest: what makes it this import and no other.
        rate: events a second; None is as fast as ingest takes them.
    """

    path: Path
    entry: Entry[FieldMap] | None
    digest: str
    rate: float | None = None

    @property
    def resume(self) -> Path:
        """Where it is kept how far it is."""
        return self.path.with_name(f"{self.path.name}.import.json")

    @property
    def report(self) -> Path:
        """Where the refused lines are kept."""
        return self.path.with_name(f"{self.path.name}.refused.ndjson")


class Refused(Struct, frozen=True):
    """A line of the report."""

    line: int
    code: str
    detail: str
    original: str


Told = Callable[[Progress, int], None]
"""Is told how far the import is, and how many bytes of the file are read."""


def rehearse(job: Job, clock: Clock, told: Told) -> tuple[Progress, list[Refused]]:
    """Judge everything and send nothing.

    Returns:
        The counts, and the first refused line of each reason.
    """
    progress, samples = Progress(job.digest), dict[str, Refused]()
    for batch in _batches(records_of(job.path, job.entry)):
        fit, refused = _parted(batch, clock.now())
        for it in refused:
            samples.setdefault(it.code, it)
        progress = _onward(progress, batch, len(fit), refused)
        told(progress, batch[-1].read)
    return progress, list(samples.values())


def send(job: Job, sender: Sender, clock: Clock, told: Told) -> Progress:
    """Send what is not sent yet; interrupted at any moment, the next call goes on."""
    progress = progress_file.load(job.resume, job.digest)
    records = islice(records_of(job.path, job.entry), progress.records, None)
    with _report(job.report, progress.report) as report:
        for batch in _batches(records):
            began = time.monotonic()
            fit, refused = _parted(batch, clock.now())
            rejected = sender.send(body_of([it.event for it in fit])) if fit else []
            refused += [
                _refused(fit[it.index], Fault(it.code, "see quarantine")) for it in rejected
            ]
            for it in sorted(refused, key=lambda one: one.line):
                report.write(msgspec.json.encode(it) + b"\n")
            report.flush()
            os.fsync(report.fileno())
            progress = _onward(progress, batch, len(fit) - len(rejected), refused)
            progress = msgspec.structs.replace(progress, report=report.tell())
            progress_file.save(job.resume, progress)
            told(progress, batch[-1].read)
            if job.rate is not None:
                time.sleep(max(0.0, len(fit) / job.rate - (time.monotonic() - began)))
    return progress


@contextmanager
def _report(path: Path, length: int) -> Generator[IO[bytes]]:
    """Open the report where the last batch that is remembered left it."""
    with path.open("r+b" if path.exists() else "w+b") as file:
        file.truncate(length)
        file.seek(length)
        yield file
    if not path.stat().st_size:
        path.unlink()


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        if batch and (len(batch) == EVENTS or size + len(record.event) > BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += len(record.event)
    if batch:
        yield batch


def _parted(batch: list[Record], now: int) -> tuple[list[Record], list[Refused]]:
    """Part what is to be sent from what is not."""
    whole = [it for it in batch if it.fault is None]
    faults = judge([it.event for it in whole], now=now)
    refused = [_refused(it, it.fault) for it in batch if it.fault is not None]
    refused += [_refused(it, fault) for it, fault in zip(whole, faults, strict=True) if fault]
    return [it for it, fault in zip(whole, faults, strict=True) if fault is None], refused


def _refused(record: Record, fault: Fault) -> Refused:
    original = record.event.decode(errors="replace")
    return Refused(record.line, fault.code, fault.detail, original)


def _onward(before: Progress, batch: list[Record], sent: int, refused: list[Refused]) -> Progress:
    counts = Counter(before.refused) + Counter(it.code for it in refused)
    return Progress(
        before.job, before.records + len(batch), before.sent + sent, dict(counts), before.report
    )
