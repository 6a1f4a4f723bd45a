"""`clm lifecycle diff` of a version: stage-engine's job, asked for, followed and given up."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from uuid import UUID

import msgspec

from clm_local.cli import connecting, screen
from clm_local.cli.lifecycle_versions import EVERY
from clm_local.errors import LocalError
from clm_local.lifecycles import Asked, Diff, Lifecycles
from clm_local.progress import passing
from clm_stage_engine.changing import table
from clm_stage_engine.changing.comparison import Answer

DAY = 86_400
"""Seconds for which a job may be followed: it takes as long as the history is."""


def compare(number: int, asked: Asked, *, lifecycle: str | None, as_json: bool) -> None:
    """Have a version compared, by default one of the main lifecycle, and print the answer.

    Raises:
        LocalError: nothing runs, there is no such version, or stage-engine refuses.
    """
    with connecting.to(Lifecycles, seconds=DAY) as engine:
        job = engine.compare(lifecycle or engine.running(), number, asked)
        with _going_on(job.id):
            screen.err.print(f"Diff {job.id} was asked for.")
            _answer(engine, job, as_json=as_json)


def follow(name: UUID, *, as_json: bool) -> None:
    """Print the answer of a diff that was asked for before, once it is done.

    Raises:
        LocalError: nothing runs, or there is no such diff.
    """
    with connecting.to(Lifecycles, seconds=DAY) as engine:
        job = engine.diff(name)
        with _going_on(name):
            _answer(engine, job, as_json=as_json)


def cancel(name: UUID) -> None:
    """Give a diff up.

    Raises:
        LocalError: nothing runs, there is no such diff, or it has ended already.
    """
    with connecting.to(Lifecycles) as engine:
        engine.cancel(name)
    screen.out.print(f"Diff {name} is given up.")


@contextmanager
def _going_on(name: UUID) -> Generator[None]:
    """Say how to go on to whoever goes away before the job has ended."""
    again = f"clm lifecycle diff --job {name}"
    try:
        yield
    except KeyboardInterrupt:
        message = f"Interrupted; the diff runs on. `{again}` shows it, with --cancel gives it up."
        screen.fail(message, code=130)
    except LocalError as error:
        raise LocalError(error.slug, f"{error.message} Go on with `{again}`.") from error


def _answer(engine: Lifecycles, job: Diff, *, as_json: bool) -> None:
    """Wait until a job has ended, and print what came of it."""
    _tell(_watched(engine, job), as_json=as_json)


def _watched(engine: Lifecycles, job: Diff) -> Diff:
    """Wait until a job has ended."""
    with passing(screen.err) as progress:
        task = progress.add_task("", total=None)
        while not job.ended:
            what = "waiting for its turn" if job.state == "waiting" else "comparing people"
            progress.update(task, description=what, completed=job.people_done, total=job.people)
            time.sleep(EVERY)
            job = engine.diff(job.id)
    return job


def _tell(job: Diff, *, as_json: bool) -> None:
    if job.state == "cancelled":
        screen.fail(f"Diff {job.id} was given up.")
    if job.state != "done":
        screen.fail(f"Diff {job.id} failed: {job.reason}.")
    answer = msgspec.json.decode(job.answer, type=Answer)
    sys.stdout.write(table.written(answer, as_json=as_json))
