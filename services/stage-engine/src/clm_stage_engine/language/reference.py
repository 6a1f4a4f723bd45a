"""Writes docs/reference/lifecycles.md from the models, as `make generate` does.

With `--check` nothing is written; the exit code says whether the document is as it should be.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, get_args, get_origin

from pydantic import BaseModel

from clm_stage_engine.channel_file import ChannelFile
from clm_stage_engine.core.channel import CHANNELS
from clm_stage_engine.core.memories import MOST
from clm_stage_engine.language import conditions, rhythms, scores, words
from clm_stage_engine.language.where import Tests
from clm_stage_engine.lifecycle_file import Clock, LifecycleFile, MoveLine, StageLine

FILE: Final = Path("docs/reference/lifecycles.md")

_INTRO: Final = f"""# The language of lifecycles

<!-- Written by `make generate` from the models in clm_stage_engine.language; do not edit. -->

A lifecycle is one YAML file, `<key>.yaml`. [How to write one](../how-to/write-a-lifecycle.md) has
examples. Whatever cannot be right is refused with file, line and advice: unknown keys, unreachable
stages, moves that never happen or never come first, conditions that exclude each other.

A **duration** is a whole number and `s`, `m`, `h` or `d`: `45s`, `10m`, `12h`, `120d`.
Windows reach back from an instant and slide to the microsecond: `within: 7d` is everything younger
than seven days.

A **name** is that of a tracked event. `"*"` is any tracked event, `"page:Pricing"` a page of that
name, `"page:*"` any page, and so for `screen`, `identify`, `group` and `alias`; `"track:x"` is the
event `x` where its name looks like one of these. Where a name may stand, a list of them may, too,
and in a list also `{{event: NAME, where: {{...}}}}`.

A **path** is written with dots from the top of the event as it was sent: `properties.revenue`,
`context.page.url`. `products[].sku` (or `products.*.sku`) is each element's. Three paths are not
read from the event: `channel`, `campaign` and `source` (see below).

**When a move is considered**: at a touchpoint that its condition mentions, and at the instant at
which time alone makes a part of its condition true. The first move that holds is taken, one per
touchpoint and one per deadline: those of higher priority first, else in the order written.

**What is remembered** of a person is only what the conditions of the lifecycle need, as numbers:
counts, times, sums, a bit per test of a value, a digest per different value. At most {MOST:,}
times, amounts or values are kept for one condition; where a sum or a score on a line has more of
them inside its window, the newest {MOST:,} count.
"""

_CHANNELS: Final = f"""
## Channels

The channel of a touchpoint is told by, in this order: your own rules; `context.channel`; the
event's name; the campaign (`context.campaign`, `utm_*`), the click ids that ad networks append, and
`utm_source` alone; the referrer's host. A page without all of these is `direct`.
The shipped tables know: {", ".join(f"`{it}`" for it in CHANNELS)}.

It is told once, when the touchpoint is counted, and kept: new tables hold for what comes after.

Your own tables stand in a folder `channels` beside your lifecycles, and come before the shipped.
"""


_Titled = tuple[tuple[str, type[BaseModel]], ...]
_PARTS: Final[_Titled] = (("Stages", StageLine), ("Moves", MoveLine), ("Time zone", Clock))
_INNER: Final[_Titled] = (
    ("where and tests", Tests),
    ("times", rhythms.Often),
    ("an event with tests", words.Picked),
    ("points", scores.Scored),
)


def document() -> str:
    """Give the whole document."""
    return "\n".join(line.rstrip() for line in "".join(_parts()).split("\n"))


def _parts() -> Iterator[str]:
    yield _INTRO
    yield "\n## The file\n\n" + _keys(LifecycleFile)
    for title, model in _PARTS:
        yield f"\n## {title}\n\n{_section(model)}"
    yield "\n## Conditions\n"
    for tag, model in kinds():
        yield f"\n### {tag}\n\n{_section(model)}"
    yield "\n## Parts of conditions\n"
    for title, model in _INNER:
        yield f"\n### {title}\n\n{_section(model)}"
    yield _CHANNELS + "\n" + _keys(ChannelFile)


def kinds() -> list[tuple[str, type[BaseModel]]]:
    """Give every kind of condition with its key, in the order of the union."""
    union = get_args(conditions.When)[0]
    found: list[tuple[str, type[BaseModel]]] = []
    for it in get_args(union):
        model, tag = get_args(it) if get_origin(it) is Annotated else (it, None)
        found.append((str(tag.tag).strip("<>") if tag is not None else "", model))
    return found


def _section(model: type[BaseModel]) -> str:
    summary = inspect.cleandoc(model.__doc__ or "").partition("\nAttributes:")[0].strip()
    return f"{summary}\n\n{_keys(model)}"


def _keys(model: type[BaseModel]) -> str:
    told = _attributes(model)
    rows = ["| key | | |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        needed = "required" if field.is_required() else ""
        rows.append(f"| `{field.alias or name}` | {needed} | {told.get(name, '')} |")
    return "\n".join(rows) + "\n"


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    """Read the docstring's attributes, those of the models it derives from included."""
    found: dict[str, str] = {}
    for each in reversed(model.__mro__):
        text = inspect.cleandoc(each.__doc__ or "").partition("Attributes:\n")[2]
        for name, what in re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", text, re.MULTILINE):
            found[name] = " ".join(what.split())
    return found


def main() -> None:
    """Write the document, or check it."""
    text = document()
    if "--check" in sys.argv[1:]:
        if not FILE.exists() or FILE.read_text("utf-8") != text:
            sys.exit(f"{FILE} is out of date: run make generate")
        return
    FILE.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
