"""A bar that goes away leaves room at the end of its line."""

from io import StringIO

import pytest
from rich.console import Console
from rich.segment import Segment

from clm_local.progress import passing

ROOM = len("^C")


@pytest.mark.parametrize("total", [None, 5_530])
@pytest.mark.parametrize("what", ["waiting for its turn", "folding people again"])
def test_whoever_interrupts_a_bar_of_60_columns_does_not_make_it_wrap(
    what: str, total: int | None
) -> None:
    console = Console(file=StringIO(), force_terminal=True, width=60)
    progress = passing(console)
    progress.add_task(what, total=total)

    (line,) = console.render_lines(progress.get_renderable(), pad=False)

    assert Segment.get_line_length(line) <= 60 - ROOM
    assert what in "".join(it.text for it in line)
