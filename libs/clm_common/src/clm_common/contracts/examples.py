"""Examples of the public contract: one customer's stage changes, with headers and values.

She buys, and falls silent until a deadline moves her. Then an earlier order arrives, late: she had
bought before, so that change is taken back. In the end she asks to be forgotten. AsyncAPI shows
them; a test holds them against what stage-engine writes.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from clm_common.contracts.envelope import Envelope
from clm_common.contracts.journey import PUBLIC_ERASED, ProfileErased
from clm_common.contracts.stage_change import PUBLIC_TYPE, StageChange

Node = dict[str, Any]  # Any: AsyncAPI is any JSON


class Example(Struct, frozen=True):
    """One message as an example.

    Attributes:
        name: what it shows, in a word.
        summary: what it shows, in a sentence.
        message: the message's value.
    """

    name: str
    summary: str
    message: StageChange | ProfileErased

    def node(self) -> Node:
        """Write it as AsyncAPI's message example."""
        return {
            "name": self.name,
            "summary": self.summary,
            "headers": {name: text.decode() for name, text in envelope_of(self.message).headers()},
            "payload": msgspec.to_builtins(self.message),
        }


def envelope_of(message: StageChange | ProfileErased) -> Envelope:
    """Give the CloudEvents attributes of a message on `clm.stage-changes`."""
    if isinstance(message, StageChange):
        name, kind, time = f"{message.id}:{message.version}", PUBLIC_TYPE, message.at
    else:
        name, kind, time = f"{message.erasure}:{message.part}", PUBLIC_ERASED, message.time
    return Envelope(
        id=name,
        source=f"/workspaces/{message.workspace}/stage-engine",
        type=kind,
        time=time,
        subject=str(message.profile_id),
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
    Example(
        "erasure",
        "She asked to be forgotten: delete what is kept of the profile up to this `version`.",
        ProfileErased(
            workspace="shop",
            profile_id=_BOUGHT.profile_id,
            version=7,
            erasure=UUID("5a1e3c52-62c4-4d1b-9d6a-0e7d3c2b1a05"),
            part=1,
            parts=1,
            time="2027-04-02T09:30:00.000000Z",
        ),
    ),
)
