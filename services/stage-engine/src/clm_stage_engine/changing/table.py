"""A comparison as people read it: plain text, columns by spaces; or as programs do: JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from clm_common.instant import to_datetime
from clm_stage_engine.changing.comparison import Answer
from clm_stage_engine.core.comparing import Entered, Example

_HEAD = ("stage", "now", "then", "same", "earlier", "later", "left", "entered")


def written(answer: Answer, *, as_json: bool) -> str:
    """Write an answer as text, or as one line of JSON."""
    if as_json:
        return msgspec.json.encode(answer).decode() + "\n"
    return "\n".join(_lines(answer)) + "\n"


def _lines(answer: Answer) -> Iterator[str]:
    new, old = answer.lifecycle, answer.against
    yield f"{new.key} {new.definition[:12]} held against {old.key} {old.definition[:12]}"
    yield f"{answer.people:,} people, {answer.touchpoints:,} touchpoints, as of {answer.until}"
    if answer.policy != "re-derive":
        yield f"people in flight: {answer.policy}"
    if answer.sample < 1:
        yield f"a sample of {answer.sample:.3%} of the people; figures are not scaled up"
    yield ""
    yield from _table(
        [
            _HEAD,
            *(
                (it.stage, it.now, it.then, it.same, it.earlier, it.later, it.left, it.entered)
                for it in answer.stages
            ),
        ]
    )
    if answer.moved:
        yield ""
        yield from _table(
            [("from", "to", "people"), *((it.source, it.target, it.people) for it in answer.moved)],
            words=2,
        )
    yield ""
    if answer.rewritten:
        yield f"{answer.rewritten:,} people stand as they did, after another past."
    yield from _changes(answer)
    for example in answer.examples:
        yield ""
        yield from _example(example)
    yield ""
    yield _pace(answer)


def _changes(answer: Answer) -> Iterator[str]:
    taken = sum(it.retracted for it in answer.stage_changes)
    new = sum(it.asserted for it in answer.stage_changes)
    if not (taken or new):
        yield "No stage change would be published: nobody's timeline changes."
        return
    yield f"Published would be {taken:,} retractions and {new:,} stage changes:"
    rows = [(it.stage, it.retracted, it.asserted) for it in answer.stage_changes]
    yield from _table([("into", "retracted", "asserted"), *rows])


def _example(example: Example) -> Iterator[str]:
    yield f"{example.profile_id} ({example.verdict})"
    yield f"  now:  {_timeline(example.now)}"
    yield f"  then: {_timeline(example.then)}"


def _timeline(entries: Sequence[Entered]) -> str:
    return " > ".join(f"{it.stage} {to_datetime(it.at):%Y-%m-%d %H:%M}" for it in entries)


def _pace(answer: Answer) -> str:
    pace = answer.pace
    return (
        f"Read in {pace.reading_seconds:.1f} s ({pace.read_per_second:,} touchpoints a second), "
        f"folded twice in {pace.folding_seconds:.1f} s ({pace.folded_per_second:,} a second)."
    )


def _table(rows: Sequence[Sequence[object]], *, words: int = 1) -> Iterator[str]:
    """Align columns: the first `words` to the left, numbers to the right."""
    texts = [[f"{it:,}" if isinstance(it, int) else str(it) for it in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    for row in texts:
        cells = [
            text.ljust(width) if place < words else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
