"""`clm source`: the sources of touchpoints."""

from __future__ import annotations

import sys

import msgspec
from rich.table import Table

from clm_local import documents, sources, state
from clm_local.cli import connecting, screen
from clm_local.errors import LocalError
from clm_local.sources import Source, Sources


def create(name: str, policy: str | None) -> None:
    """Make a source, by default with a policy that changes nothing, and show its write key."""
    wanted = documents.read(policy) if policy else {}
    with connecting.to(Sources) as ingest:
        _show_key(ingest.create(name, wanted))


def show(name: str) -> None:
    """Show one source, its policy as YAML that can be edited and set again."""
    with connecting.to(Sources) as ingest:
        found = sources.choose(ingest.list(), name)
    state_of = "disabled" if found.disabled_at else "enabled"
    screen.err.print(
        f"[dim]{found.name}  {found.id}  …{found.key_hint}  {state_of}; its policy:[/]"
    )
    sys.stdout.write(documents.write(found.policy))


def update(name: str, *, rename: str | None, policy: str | None) -> None:
    """Rename a source, or set its policy."""
    if rename is None and policy is None:
        raise LocalError("nothing-to-do", "Say what to change: --rename NAME or --policy FILE.")
    wanted = documents.read(policy) if policy else None
    with connecting.to(Sources) as ingest:
        found = ingest.update(sources.choose(ingest.list(), name), name=rename, policy=wanted)
    screen.out.print(f"{found.name} is changed; it is acted by within two seconds.")


def list_all() -> None:
    """List the sources."""
    _, workspace = connecting.running()
    with connecting.to(Sources) as ingest:
        found = ingest.list()
    table = Table("name", "id", "write key", "since", "", box=None, padding=(0, 2, 0, 0))
    for it in found:
        known = workspace.write_key if it.id == workspace.source else f"…{it.key_hint}"
        since = f"{it.created_at:%Y-%m-%d %H:%M}"
        table.add_row(it.name, it.id, known, since, "disabled" if it.disabled_at else "")
    screen.out.print(table)


def rotate(name: str) -> None:
    """Give a source a new write key and show it."""
    place, workspace = connecting.running()
    with connecting.to(Sources) as ingest:
        made = ingest.rotate(sources.choose(ingest.list(), name).id)
    if made.id == workspace.source:
        state.save_workspace(place, msgspec.structs.replace(workspace, write_key=made.write_key))
    _show_key(made)


def disable(name: str, *, yes: bool) -> None:
    """Refuse a source's keys from now on."""
    with connecting.to(Sources) as ingest:
        chosen = sources.choose(ingest.list(), name)
        screen.confirm(f"Refuse everything from {chosen.name!r} from now on?", yes=yes)
        ingest.disable(chosen.id)
    screen.out.print(f"{chosen.name} is disabled; its events are refused within two seconds.")


def enable(name: str) -> None:
    """Take a source's keys again."""
    with connecting.to(Sources) as ingest:
        chosen = sources.choose(ingest.list(), name)
        ingest.enable(chosen.id)
    screen.out.print(f"{chosen.name} is enabled; its events are taken within two seconds.")


def _show_key(made: Source) -> None:
    screen.out.print(f"source     {made.name}\nid         {made.id}\nwrite key  {made.write_key}")
    screen.out.print("[dim]Keep the write key: it is not shown again.[/]")
