"""Halves of surrogate pairs: JSON's grammar allows their escapes (RFC 8259, 8.2), Unicode does not.

A browser writes one where a text was cut in the middle of an emoji; no parser here takes it.
"""

import re
from typing import Final

_ESCAPE: Final = re.compile(
    rb"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\[^u])"
    rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}",
    re.DOTALL,
)
REPLACEMENT: Final = "\ufffd"
"""What stands for a half."""

_ESCAPED: Final = rb"\ufffd"


def paired(body: bytes) -> bytes:
    """Give JSON with U+FFFD for every half, so that what stands beside it can be read."""
    return _ESCAPE.sub(lambda found: found[1] or _ESCAPED, body)
