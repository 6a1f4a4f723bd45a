"""`clm lifecycle publish`, `rollback`, `history`, `start`, `stop`: what decides."""

from __future__ import annotations

import time
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from clm_local.cli import connecting, screen
from clm_local.errors import LocalError
from clm_local.lifecycles import Lifecycles, Publication, Terms
from clm_local.progress import passing

EVERY = 0.5
"""Seconds between two questions for the progress."""


def publish(file: str, terms: Terms, *, lifecycle: str | None, wait: bool) -> None:
    """Publish a file as a new version, or a version that is kept already by its number.

    A number is of `lifecycle`, by default of the main one; a file says itself of which it is.

    Raises:
        LocalError: nothing runs, the file is not there, or stage-engine refuses.
    """
    with connecting.to(Lifecycles) as engine:
        if file.isdecimal():
            key, number = lifecycle or engine.running(), int(file)
        else:
            draft = engine.draft(_text(file), terms.note, beside=terms.beside)
            key, number = draft.key, draft.number
        _done(engine, engine.publish(key, number, terms), wait=wait)


def roll_back(*, lifecycle: str | None, note: str, wait: bool) -> None:
    """Go back to what decided before, or end a canary."""
    with connecting.to(Lifecycles) as engine:
        _done(engine, engine.roll_back(lifecycle or engine.running(), note), wait=wait)


def start(lifecycle: str, *, note: str, wait: bool) -> None:
    """Let a lifecycle run beside the main one."""
    with connecting.to(Lifecycles) as engine:
        act = engine.act(lifecycle, "start", note)
        screen.out.print(f"{lifecycle} runs beside the main lifecycle.")
        _folded(engine, act.key, act.id, wait=wait)


def stop(lifecycle: str, *, note: str, wait: bool) -> None:
    """Stop a lifecycle beside the main one."""
    with connecting.to(Lifecycles) as engine:
        act = engine.act(lifecycle, "stop", note)
        screen.out.print(f"{lifecycle} is stopped; its stage changes are taken back.")
        _folded(engine, act.key, act.id, wait=wait)


def history(lifecycle: str | None) -> None:
    """List versions and publications."""
    with connecting.to(Lifecycles) as engine:
        found = engine.history(lifecycle or engine.running())
    if not found.versions:
        screen.out.print(f"Nothing was published; {found.key} is decided by its file.")
        return
    versions = Table("version", "state", "written", "by", "note", box=None, padding=(0, 2, 0, 0))
    for it in found.versions:
        state = it.state if it.share is None else f"{it.state}, {it.share:.3%}"
        at = f"{it.created_at:%Y-%m-%d %H:%M}"
        versions.add_row(str(it.number), state, at, escape(it.author), escape(it.note))
    acts = Table("at", "what", "version", "in flight", "by", "note", box=None, padding=(0, 2, 0, 0))
    for act in found.publications:
        what = act.action if act.share is None else f"{act.action}, {act.share:.3%}"
        at = f"{act.at:%Y-%m-%d %H:%M}"
        policy = act.policy if act.action != "rollback" else ""
        acts.add_row(at, what, str(act.number), policy, escape(act.author), escape(act.note))
    screen.out.print(versions, "", acts, sep="\n")


def _text(file: str) -> str:
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"{file} is neither a version's number nor a readable file ({error})."
        raise LocalError("file-unreadable", message) from error


def _done(engine: Lifecycles, act: Publication, *, wait: bool) -> None:
    about = "everybody" if act.share is None else f"{act.share:.3%} of the people"
    screen.out.print(f"Version {act.number} of {act.key} decides about {about}{_how(act)}.")
    _folded(engine, act.key, act.id, wait=wait)


def _folded(engine: Lifecycles, key: str, number: int, *, wait: bool) -> None:
    """Wait until everybody is folded again after an act, if asked to."""
    if not wait:
        screen.out.print("[dim]People are folded again in the background.[/]")
        return
    with passing(screen.err) as progress:
        task = progress.add_task("folding people again", total=None)
        while not (found := engine.progress(key)).done and found.publication >= number:
            progress.update(task, completed=found.partitions_done, total=found.partitions)
            time.sleep(EVERY)
    screen.out.print(f"{found.folded_again:,} people were folded again.")


def _how(act: Publication) -> str:
    """Say what becomes of people in flight, where they are not derived again."""
    if act.action == "rollback" or act.policy == "re-derive":
        return ""
    return {
        "map": " from now on; people keep their stage",
        "pin": " who is new; people in flight stay with their version",
        "drain": " who is new; people in flight go over with their next change of stage",
    }[act.policy]
