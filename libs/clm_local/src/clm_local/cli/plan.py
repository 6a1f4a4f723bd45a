"""`clm plan`: tracking plans, what violates them, and a proposal of one."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

import msgspec
from rich.markup import escape
from rich.table import Table

from clm_common.bus.kafka import PartitionReader
from clm_local import broker, documents, seen, sources
from clm_local.cli import connecting, screen
from clm_local.errors import LocalError
from clm_local.inference import Inference
from clm_local.plans import Plans
from clm_local.progress import passing
from clm_local.sources import Sources


def put(file: str, source: str | None) -> None:
    """Set a plan."""
    plan = documents.read(file)
    with connecting.to(Plans) as ingest:
        stored = ingest.put(_id_of(source), plan)
    events, mode = len(stored.plan["events"]), stored.plan["mode"]
    screen.out.print(f"{_whose(source)} has a plan of {events} events, mode {mode}.")
    screen.out.print("[dim]It is acted by within two seconds.[/]")


def show(source: str | None) -> None:
    """Print a plan as YAML that can be edited and set again."""
    with connecting.to(Plans) as ingest:
        found = ingest.get(_id_of(source))
    screen.err.print(f"[dim]set at {found.updated_at:%Y-%m-%d %H:%M} by {found.updated_by}[/]")
    sys.stdout.write(documents.write(found.plan))


def list_all() -> None:
    """List the plans."""
    with connecting.to(Sources) as ingest:
        names = {it.id: it.name for it in ingest.list()}
    with connecting.to(Plans) as ingest:
        found = ingest.every()
    table = Table("for", "events", "mode", "unknown", "set", box=None, padding=(0, 2, 0, 0))
    for it in found:
        whose = "the workspace" if it.source is None else names.get(it.source, it.source)
        at, plan = f"{it.updated_at:%Y-%m-%d %H:%M}", it.plan
        table.add_row(escape(whose), str(len(plan["events"])), plan["mode"], plan["unknown"], at)
    screen.out.print(table if found else "There is no plan. Propose one with `clm plan infer`.")


def delete(source: str | None, *, yes: bool) -> None:
    """Remove a plan."""
    screen.confirm(f"Remove the tracking plan of {_whose(source)}?", yes=yes)
    with connecting.to(Plans) as ingest:
        ingest.delete(_id_of(source))
    screen.out.print(f"{_whose(source)} has no plan of its own any more.")


def violations(source: str | None, event: str | None, *, limit: int, reset: bool) -> None:
    """Show what violates plans, the most frequent first."""
    with connecting.to(Plans) as ingest:
        found = ingest.violations(_id_of(source), event, limit)
        if reset:
            ingest.forget_violations()
    table = Table(
        "count", "event", "where", "rule", "became", "last", box=None, padding=(0, 2, 0, 0)
    )
    for it in found:
        named = f"{it.event} v{it.version}" if it.version else it.event
        last = f"{it.last_seen:%Y-%m-%d %H:%M}"
        table.add_row(
            str(it.count), escape(named), escape(it.path), escape(it.rule), it.reaction, last
        )
    screen.out.print(table if found else "Nothing violates a plan.")


def infer(
    *, source: str | None, last: int | None, since: str | None, until: str | None, as_json: bool
) -> None:
    """Propose a plan from what was seen; it is printed, to be reviewed, and set nowhere."""
    _, workspace = connecting.running()
    _, run = connecting.servers()
    wanted = seen.Range(workspace.key, _id_of(source), last, _time(since), _time(until))
    learnt = asyncio.run(_learn(run.kafka, wanted))
    if not learnt.events:
        raise LocalError("nothing-seen", "No events were seen that a plan could be made of.")
    plan = learnt.plan()
    screen.err.print(
        f"[dim]{len(plan['events'])} kinds of events out of {learnt.events}. Review it, "
        "then `clm plan set FILE`.[/]"
    )
    if as_json:
        screen.document(plan)
    else:
        sys.stdout.write(documents.write(plan))


async def _learn(bootstrap: str, wanted: seen.Range) -> Inference:
    learnt = Inference()
    with passing(screen.err) as progress:
        task = progress.add_task("reading touchpoints", total=None)

        def report(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        async with PartitionReader(broker.settings_at(bootstrap)) as reader:
            async for record in seen.records(reader, wanted, report):
                event = msgspec.json.decode(record.value or b"null")
                if isinstance(event, dict):
                    learnt.learn(event, (record.key or b"").decode(errors="replace"))
    return learnt


def _id_of(source: str | None) -> str | None:
    if source is None:
        return None
    with connecting.to(Sources) as ingest:
        return sources.choose(ingest.list(), source).id


def _whose(source: str | None) -> str:
    return "The workspace" if source is None else source


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        example = "2026-11-25 or 2026-11-25T10:00:00Z"
        raise LocalError("time-wrong", f"{text!r} is no time: write {example}.") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
