"""`clm demo`: half a year of a shop, in a minute."""

from __future__ import annotations

import asyncio
import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from clm_common.contracts.ids import USER_ID, profile_id
from clm_local import paths, state, system
from clm_local.cli import profile, screen
from clm_local.demo.merging import Merge
from clm_local.demo.reporting import Report
from clm_local.demo.running import Demo, open_demo
from clm_local.demo.sending import Sent
from clm_local.paths import Paths
from clm_local.state import Workspace


def run(*, as_json: bool) -> None:
    """Run it; end with 1 unless what the services show is what the file says."""
    place = paths.find()
    with screen.err.status("Fetching the shop's clickstream"):
        demo = open_demo(place)
    sent = _send(demo)
    with screen.err.status("Waiting until all of it is through") as spinner:
        report = asyncio.run(demo.follow(sent, spinner.update))
    if as_json:
        screen.document(report)
    else:
        _show(place, report)
    raise SystemExit(0 if report.recount.agrees else 1)


def _send(demo: Demo) -> Sent:
    columns = (
        TextColumn("Sending with Segment's Python SDK"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
    )
    started = time.monotonic()
    with Progress(*columns, console=screen.err) as progress:
        task = progress.add_task("", total=demo.events, rate="")

        def show(left: int) -> None:
            done = demo.events - left
            rate = done / max(time.monotonic() - started, 0.1)
            progress.update(task, completed=done, rate=f"{rate:,.0f}/s")

        return demo.send(show)


def _show(place: Paths, report: Report) -> None:
    out = screen.out
    out.print()
    out.print(_totals(report))
    out.print()
    out.print(_stages(report))
    _verdict(report)
    for story in report.stories:
        out.print(f"\n{story.title}:\n")
        for it in story.transitions:
            out.print(*profile.told(it), sep="\n")
        out.print(f"\n  {screen.command()} profile explain {story.person}")
    if report.merge is not None:
        out.print(*_merged(report.merge), sep="\n")
    workspace = state.load_workspace(place) or Workspace()
    out.print(f"\nThe mails:  {report.mails.url}\n\nThe timeline of {report.person}:\n")
    out.print(Text(timeline(workspace, report.person)), soft_wrap=True)


def _totals(report: Report) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    events, people, mails = report.events, report.people, report.mails
    fates = ", ".join(f"{count:,} {fate}" for fate, count in sorted(mails.fates.items()))
    seconds = report.seconds
    table.add_row("clickstream", f"{report.first_day} to {report.last_day}")
    table.add_row("events sent", f"{events.sent:,} in {seconds['sending']:.1f} s")
    table.add_row("landed", f"{events.landed:,}, {seconds['landing']:.1f} s later")
    known = f"{people.known:,} known, {people.anonymous:,} anonymous"
    table.add_row("profiles", f"{people.profiles:,}: {known}")
    table.add_row("welcome messages", f"{mails.planned:,}: {fates}")
    table.add_row("in the mail catcher", f"{mails.caught:,}")
    return table


def _stages(report: Report) -> Table:
    table = Table("stage", box=None, padding=(0, 3, 0, 0))
    for title in ("people now", "ever", "entries", "of the stage before"):
        table.add_column(title, justify="right")
    for it in report.stages:
        share = "" if it.conversion is None else f"{it.conversion:.1%}"
        counts = (f"{count:,}" for count in (it.people, it.reached, it.entries))
        table.add_row(it.stage, *counts, share)
    return table


def _verdict(report: Report) -> None:
    if report.recount.agrees:
        screen.out.print(f"\n{screen.GOOD} A plain recount of the file comes to the same numbers.")
        return
    screen.out.print(f"\n{screen.BAD} A plain recount of the file comes to other numbers:")
    for line in report.recount.differences:
        screen.out.print(f"  {line}", markup=False)


def _merged(it: Merge) -> list[str]:
    before, after = (
        f"{it.person} {one.stage}, {one.touchpoints} touchpoints; "
        f"{it.other} {other.stage}, {other.touchpoints}"
        for one, other in (it.before, it.after)
    )
    return [
        f"\n{it.person} and {it.other} were merged and unmerged:\n",
        f"  apart        {before}",
        f"  as one       {it.merged.stage}, {it.merged.touchpoints} touchpoints",
        f"  apart again  {after}",
        f"\n  {screen.command()} profile merges {it.person}",
    ]


def timeline(workspace: Workspace, person: str) -> str:
    """Give the commands that show a person's timeline."""
    engine = system.url(workspace, "stage-engine")
    profile = profile_id(workspace.key, USER_ID, person)
    return (
        f"  TOKEN=$({screen.command()} token create --scope profiles:read)\n"
        f"  curl -H \"Authorization: Bearer $TOKEN\" '{engine}/v1/profiles?user_id={person}'\n"
        f"  curl -H \"Authorization: Bearer $TOKEN\" '{engine}/v1/profiles/{profile}/timeline'"
    )
