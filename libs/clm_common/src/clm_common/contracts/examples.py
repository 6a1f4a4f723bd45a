"""Examples of the public contract: one customer's stage changes, with headers and values.

She buys, and falls silent until a deadline moves her. Then an earlier order arrives, late: she had
bought before, so that change is taken back. AsyncAPI shows them; a test holds them against what
stage-engine writes.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from clm_common.contracts.envelope import Envelope
from clm_common.contracts.stage_change import PUBLIC_TYPE, StageChange

Node = dict[str, Any]  # Any: AsyncAPI is any JSON


class Example(Struct, frozen=True):
    """One message as an example.

    Attributes:
        name: what it shows, in a word.
        summary: what it shows, in a sentence.
        change: the message's value.
    """

    name: str
    summary: str
    change: StageChange

    def node(self) -> Node:
        """Write it as AsyncAPI's message example."""
        return {
            "name": self.name,
            "summary": self.summary,
            "headers": {name: text.decode() for name, text in envelope_of(self.change).headers()},
            "payload": msgspec.to_builtins(self.change),
        }


def envelope_of(change: StageChange) -> Envelope:
    """Give the CloudEvents attributes of a stage change on `clm.stage-changes`."""
    return Envelope(
        id=f"{change.id}:{change.version}",
        source=f"/workspaces/{change.workspace}/stage-engine",
        type=PUBLIC_TYPE,
        time=change.at,
        subject=str(change.profile_id),
    )


_BOUGHT: Final = StageChange(
    id=UUID("0c9d0f6e-7a52-5ccf-8d3f-5d0c3f4fd002"),
    workspace="shop",
    profile_id=UUID("2d0f0f0a-4c0b-5a53-9f0e-3a0f6a5b9c01"),
    version=4,
    lifecycle="reach",
    definition="9565bb905399d5d78a1f22fcd3a61d93c939e665be43fc76c37e18ba70582432",
    target="conversion",
    move="acquisition->conversion",
    at="2026-11-22T10:00:00.000000Z",
    source="acquisition",
    cause="website/order-1001",
    user_id="ada",
)
_SILENT: Final = replace(
    _BOUGHT,
    id=UUID("0c9d0f6e-7a52-5ccf-8d3f-5d0c3f4fd003"),
    version=5,
    source="conversion",
    target="acquisition",
    move="lapsed",
    at="2027-03-22T10:00:00.000000Z",
    cause=None,
)

STAGE_CHANGES: Final = (
    Example("assertion", "A touchpoint moved her: there is a `cause`.", _BOUGHT),
    Example("deadline", "Time alone moved her, 120 silent days later: no `cause`.", _SILENT),
    Example(
        "retraction",
        "An earlier order came late, so this was not the first: same `id`, higher `version`.",
        replace(_BOUGHT, version=6, retracted=True),
    ),
)
