"""What a person needs to know once the system runs: where it is, and a first event to send."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from clm_local import state, system
from clm_local.cli import screen
from clm_local.paths import Paths
from clm_local.state import Workspace

TITLES = {
    "ingest": "takes touchpoints in",
    "stage-engine": "profiles and their timelines",
    "metrics": "people per stage, KPIs",
    "engagement": "journeys and messages",
}


def show(place: Paths) -> None:
    """Print addresses, keys, and a first event."""
    workspace = state.load_workspace(place) or Workspace()
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, title in TITLES.items():
        table.add_row(name, f"{system.url(workspace, name)}/docs", f"[dim]{title}[/]")
    table.add_row("mails", system.url(workspace, "mail"), "[dim]every mail is caught here[/]")
    screen.out.print()
    screen.out.print(table)
    screen.out.print(f"\nwrite key     {workspace.write_key}")
    screen.out.print(f"data, logs    {place.data}\n")
    screen.out.print("A first event:\n")
    _plain(first_event(workspace))
    screen.out.print("\nand who it was:\n")
    _plain(first_question(workspace))
    clm = screen.command()
    screen.out.print(f"\n[dim]{clm} demo · {clm} status · {clm} logs ingest -f · {clm} down[/]")


def first_event(workspace: Workspace) -> str:
    """Give a command that sends an event."""
    return (
        f"  curl {system.url(workspace, 'ingest')}/v1/track -u {workspace.write_key}: \\\n"
        "    -H 'Content-Type: application/json' \\\n"
        """    -d '{"userId": "ada", "event": "Order Completed", "properties": {"revenue": 25}}'"""
    )


def first_question(workspace: Workspace) -> str:
    """Give a command that asks for the profile of the one in the first event."""
    return (
        f"  curl '{system.url(workspace, 'stage-engine')}/v1/profiles?user_id=ada' \\\n"
        f'    -H "Authorization: Bearer $({screen.command()} token create)"'
    )


def _plain(text: str) -> None:
    """Print a command as it is to be typed: no markup, no line breaks of ours."""
    screen.out.print(Text(text), soft_wrap=True)
