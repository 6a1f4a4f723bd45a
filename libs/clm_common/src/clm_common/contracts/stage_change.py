"""A stage change: the public contract of `clm.stage-changes`, also part of the river.

A change is asserted or retracted. A late touchpoint, a merge or a new definition may show that a
change never happened so: it is retracted by a message with the same `id`, `retracted: true` and a
higher `version`. Keep, per `id`, the message with the highest `version`: that is the truth,
in whatever order the messages arrive.

Order the changes that stand by `at`; within one instant the first appearance (no `source`) comes
first, then a deadline (no `cause`), then touchpoints by their `cause`.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from msgspec import Struct

PUBLIC_TYPE: Final = "clm.stage-change.v1"
"""The CloudEvents type on `clm.stage-changes`."""


class StageChange(
    Struct, frozen=True, tag="stage_changed", tag_field="kind", omit_defaults=True, gc=False
):
    """A profile entered a stage, or a correction says that it did not.

    Attributes:
        id: derived from profile, lifecycle, instant, stages and cause; never random.
        workspace: the workspace's key.
        profile_id: whose change it is; also the record's key.
        version: the profile's version that decided this; higher wins.
        lifecycle: the definition's key, for example `reach`.
        definition: the digest of the definition that decided.
        source: the stage that was left; null where the profile first appeared.
        target: the stage that was entered.
        move: the name of the transition.
        at: when it happened, in event time, RFC 3339; a lapse after 60 days is stamped at day 60.
        cause: the touchpoint that caused it, `source/message id`; null for a deadline, and for a
            publication that gave the stage another name (then `move` is `mapped`).
        user_id: the customer as the company's systems know them, when known.
        retracted: true takes the change with this id back.
        historical: it follows from what was imported from the past; nobody should be written to
            because of it.
        lifecycle_version: the number of the published version that decided; null where no version
            was ever published and the installation's own file decides.
    """

    id: UUID
    workspace: str
    profile_id: UUID
    version: int
    lifecycle: str
    definition: str
    target: str
    move: str
    at: str
    source: str | None = None
    cause: str | None = None
    user_id: str | None = None
    retracted: bool = False
    historical: bool = False
    lifecycle_version: int | None = None
