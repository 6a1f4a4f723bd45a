"""Takes a batch apart that does not parse as a whole, so that its good events are not lost.

One event with a `NaN`, a broken escape or 20,000 nested lists makes the whole body unreadable.
The splitter only follows quotes, brackets and commas; each part is judged by itself afterwards.
"""

import re
from typing import Final

from msgspec import Struct

_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
_BATCH: Final = b'"batch"'
_IN_BODY: Final = 1
_IN_BATCH: Final = 2

MOST_TOKENS: Final = 300_000
"""Beyond this a body is refused as a whole: splitting it would hold up everybody else."""


class Parts(Struct, frozen=True):
    """A batch taken apart.

    Attributes:
        shell: the body with an empty list in the place of its events.
        events: the bytes of each event, in order.
    """

    shell: bytes
    events: list[bytes]


def split(body: bytes) -> Parts | None:
    """Take a batch apart by its brackets; None if they do not match up."""
    depth, start, after_key = 0, -1, False
    cuts: list[int] = []
    for count, token in enumerate(_TOKEN.finditer(body)):
        text = token.group()
        if count > MOST_TOKENS or text == b'"':
            return None
        if text in b"[{":
            depth += 1
            if depth == _IN_BATCH and after_key and text == b"[":
                start = token.end()
        elif text in b"]}":
            depth -= 1
            if depth == _IN_BODY and start >= 0:
                return _parts(body, start, [*cuts, token.start()])
        elif text == b"," and depth == _IN_BATCH and start >= 0:
            cuts.append(token.start())
        after_key = depth == _IN_BODY and text == _BATCH
    return None


def _parts(body: bytes, start: int, cuts: list[int]) -> Parts:
    begins = [start, *(cut + 1 for cut in cuts[:-1])]
    events = [body[begin:end].strip() for begin, end in zip(begins, cuts, strict=True)]
    return Parts(
        shell=body[:start] + body[cuts[-1] :],
        events=[] if events == [b""] else events,
    )
