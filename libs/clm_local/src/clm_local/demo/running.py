"""Runs the demo: fetch, send, wait, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from clm_common.bus.kafka import PartitionReader
from clm_common.clock import SystemClock
from clm_local import broker, state, system
from clm_local.demo import clickstream, dataset, merging, reporting
from clm_local.demo.dataset import Row
from clm_local.demo.observing import Addresses, Observer
from clm_local.demo.recount import Truth, recount
from clm_local.demo.reporting import LIVE_WINDOW, Check, Facts, Report
from clm_local.demo.sending import Sent, send
from clm_local.demo.waiting import Wait
from clm_local.errors import LocalError
from clm_local.paths import Paths, directory, write_secret
from clm_local.state import Workspace


class Schedule(Struct, frozen=True):
    """Decided at the first run and kept, so that every run sends the very same events.

    Attributes:
        shift: how far the clickstream is moved, in µs; whole days.
        first_run: when the first run began, µs.
        through: when all of it was through for the first time, µs.
    """

    shift: int
    first_run: int
    through: int | None = None


class Demo:
    """The demo in one data directory."""

    def __init__(self, paths: Paths, workspace: Workspace, bootstrap: str) -> None:
        self._paths = paths
        self._workspace = workspace
        self._bootstrap = bootstrap
        self._rows: Sequence[Row] = dataset.read(dataset.ensure(paths.downloads / "demo"))
        self._last = max(it.time for it in self._rows)
        self._schedule = self._load() or self._begin()

    @property
    def events(self) -> int:
        """How many calls there are to send."""
        return self._truth().events

    def send(self, progress: Callable[[int], None]) -> Sent:
        """Send everything.

        Raises:
            LocalError: ingest refuses it.
        """
        calls = clickstream.calls(self._rows, shift=self._schedule.shift)
        ingest = system.url(self._workspace, "ingest")
        sent = send(
            calls, host=ingest, write_key=self._workspace.write_key or "", progress=progress
        )
        if sent.errors:
            reasons = "; ".join(f"{count:,} times: {why}" for why, count in sent.errors.items())
            raise LocalError(
                "demo-refused",
                f"ingest did not take {sum(sent.errors.values()):,} of {len(calls):,} events "
                f"({reasons}). See `clm status` and `clm logs ingest`, then run `clm demo` again: "
                "what has landed lands once.",
            )
        return sent

    async def follow(self, sent: Sent, show: Callable[[str], None]) -> Report:
        """Wait until all is through, and give the report.

        Raises:
            LocalError: something is stuck.
        """
        started = time.monotonic()
        reader = PartitionReader(broker.settings_at(self._bootstrap))
        async with Observer(self._addresses()) as ask, reader:
            wait = Wait(ask, reader, self._truth)
            await merging.restore(ask, await wait.people())
            await wait.until_through(show)
            waited = time.monotonic() - started
            truth = self._truth()
            facts = await reporting.collect(ask, truth)
            facts = await self._merge(ask, wait, facts, show)
        found = reporting.differences(facts, truth, self._welcomed(truth))
        shift = self._schedule.shift
        return reporting.report(
            facts,
            sent,
            Check(truth, found),
            mail_url=system.url(self._workspace, "mail"),
            days=(min(it.time for it in self._rows) + shift, self._last + shift),
            waited=waited,
        )

    async def _merge(
        self, ask: Observer, wait: Wait, facts: Facts, show: Callable[[str], None]
    ) -> Facts:
        """Have two people merged and unmerged, once nothing else is under way."""
        quiet = {it.profile_id for it in facts.messages if it.state == "skipped"}
        people = {it.user_id: it for it in facts.profiles if it.user_id and it.id in quiet}
        pair = merging.pick(self._rows, people, shift=self._schedule.shift, now=_now())
        if pair is None:
            return facts
        show(f"stage-engine: {pair.person} and {pair.other} are merged, and unmerged")
        merge = await merging.show(ask, pair, people)
        await wait.until_through(show)
        return msgspec.structs.replace(facts, merge=merge)

    def _truth(self) -> Truth:
        return recount(self._rows, shift=self._schedule.shift, now=_now())

    def _welcomed(self, truth: Truth) -> range:
        """How many welcome mails there may be: sent in the first run, as its window moved on."""
        schedule = self._schedule
        if schedule.through is None:
            schedule = msgspec.structs.replace(schedule, through=_now())
            self._save(schedule)
        through = schedule.through or _now()
        fewest = truth.emails(through - LIVE_WINDOW)
        return range(fewest, truth.emails(schedule.first_run - LIVE_WINDOW) + 1)

    def _addresses(self) -> Addresses:
        return Addresses(
            stage_engine=system.url(self._workspace, "stage-engine"),
            metrics=system.url(self._workspace, "metrics"),
            engagement=system.url(self._workspace, "engagement"),
            mail=system.url(self._workspace, "mail"),
            token=self._workspace.token or "",
        )

    def _begin(self) -> Schedule:
        now = _now()
        schedule = Schedule(clickstream.shift_to(self._last, now), now)
        self._save(schedule)
        return schedule

    def _load(self) -> Schedule | None:
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Schedule)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def _save(self, schedule: Schedule) -> None:
        directory(self._file.parent)
        write_secret(self._file, msgspec.json.encode(schedule).decode())
        self._schedule = schedule

    @property
    def _file(self) -> Path:
        return self._paths.data / "demo" / "schedule.json"


def open_demo(paths: Paths) -> Demo:
    """Prepare the demo on a running system.

    Raises:
        LocalError: nothing runs, or the data cannot be had.
    """
    workspace, run = state.load_workspace(paths), state.load_run(paths)
    if workspace is None or workspace.write_key is None or run is None or not run.running:
        raise LocalError("not-running", "Nothing runs yet. Start it with `clm up`.")
    return Demo(paths, workspace, run.kafka)


def _now() -> int:
    return SystemClock().now()
