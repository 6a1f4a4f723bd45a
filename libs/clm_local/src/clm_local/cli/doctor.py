"""`clm doctor`: what is missing or broken, and how to mend it."""

from __future__ import annotations

import asyncio

from rich.markup import escape

from clm_local import doctor, paths
from clm_local.cli import screen
from clm_local.findings import Finding, Verdict

CROSS = "✗"
MARKS = {Verdict.GOOD: screen.GOOD, Verdict.NOTE: screen.SOON, Verdict.BAD: screen.BAD}


def run() -> None:
    """Print every finding; end with 1 if something must be mended."""
    faults = asyncio.run(_examine())
    if faults:
        screen.fail(f"To be mended: {faults} of the above, marked with {CROSS}.")
    screen.out.print("\nNothing needs mending.")


async def _examine() -> int:
    faults = 0
    async for finding in doctor.examine(paths.find()):
        _show(finding)
        faults += finding.verdict is Verdict.BAD
    return faults


def _show(finding: Finding) -> None:
    screen.out.print(f"{MARKS[finding.verdict]} {escape(finding.what)}")
    if finding.remedy:
        screen.out.print(f"    {escape(finding.remedy)}", style="dim")
