"""`clm status`: what runs, for people and for programs."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from clm_local import paths, status
from clm_local.child import tail
from clm_local.cli import screen
from clm_local.paths import Paths
from clm_local.state import ChildState, Phase
from clm_local.status import Status

LAST_LINES = 8


def run(*, as_json: bool) -> None:
    """Print how everything is; end with 1 unless all is ready."""
    place = paths.find()
    found = asyncio.run(status.look(place))
    if as_json:
        screen.document(found)
    else:
        _show(place, found)
    raise SystemExit(0 if found.ready else 1)


def _show(place: Paths, found: Status) -> None:
    present = status.present(place)
    if present is None:
        screen.out.print("Nothing runs. Start it with [bold]clm up[/].")
        return
    addresses = {
        "kafka": found.kafka.bootstrap,
        "postgres": _without_password(found.postgres.url),
        "mail": f"{found.mail.url}  {found.mail.smtp}",
        **{name: it.url for name, it in found.services.items()},
    }
    table = Table("", "", "pid", "address", "started again", box=None, padding=(0, 2, 0, 0))
    for name, child in present.children.items():
        service = found.services.get(name)
        is_up = service.ready if service else child.phase is Phase.READY
        mark, word = _words(child, is_up=is_up)
        pid = str(child.process.pid) if child.process else ""
        table.add_row(f"{mark} {name}", word, pid, addresses.get(name, ""), _times(child.ends))
    screen.out.print(table)
    for name, child in present.children.items():
        if child.looping:
            _explain(name, child)
    if present.problem:
        screen.out.print(f"\n{screen.BAD} {escape(present.problem)}")
    screen.out.print(f"\n[dim]data and logs in {place.data}[/]")


def _words(child: ChildState, *, is_up: bool) -> tuple[str, str]:
    if child.looping:
        return screen.BAD, "crash loop"
    if child.phase is Phase.READY:
        return (screen.GOOD, "ready") if is_up else (screen.SOON, "waiting for a server")
    return screen.SOON, child.phase.value


def _explain(name: str, child: ChildState) -> None:
    screen.out.print(
        f"\n{screen.BAD} {name} has ended {child.ends} times, the last time with code "
        f"{child.code}; it is started again after a pause. The end of {child.log}:"
    )
    screen.out.print(tail(Path(child.log), LAST_LINES), markup=False, style="dim")


def _times(ends: int) -> str:
    return f"{ends} times" if ends else ""


def _without_password(url: str | None) -> str:
    if url is None or "@" not in url:
        return url or ""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
