"""A person's traits: what identify calls said about them, of each trait the newest word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from clm_stage_engine.core.reading import raw_at

IDENTIFY: Final = "identify"

_PLACES: Final = (raw_at(("context", "traits")), raw_at(("traits",)))
"""RudderStack's SDKs say traits in the context, Segment's at the top, which holds before both."""

_decode: Final = msgspec.json.Decoder(dict[str, Raw]).decode


def told(traits: Mapping[str, Raw], body: bytes) -> dict[str, Raw]:
    """Take in an identify call that is newer than all before it.

    Args:
        traits: what is known.
        body: the call's JSON; traits that are no object say nothing.
    """
    known = dict(traits)
    for find in _PLACES:
        known |= {name: Raw(bytes(value)) for name, value in _said(find(body)).items()}
    return known


def _said(text: bytes | None) -> dict[str, Raw]:
    try:
        return {} if text is None else _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
