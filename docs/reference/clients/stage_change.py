"""The message StageChange. Generated from its JSON Schema; do not edit."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class StageChange:
    """A profile entered a stage, or a correction says that it did not.

    Attributes:
        id: derived from profile, lifecycle, instant, stages and cause; never random.
        workspace: the workspace's key.
        profile_id: whose change it is; also the record's key.
        version: the profile's version that decided this; higher wins.
        lifecycle: the definition's key, for example `reach`.
        definition: the digest of the definition that decided.
        target: the stage that was entered.
        move: the name of the transition.
        at: when it happened, in event time, RFC 3339; a lapse after 60 days is stamped at day
            60.
        source: the stage that was left; null where the profile first appeared.
        cause: the touchpoint that caused it, `source/message id`; null for a deadline, and for
            a publication that gave the stage another name (then `move` is `mapped`).
        user_id: the customer as the company's systems know them, when known.
        retracted: true takes the change with this id back.
        historical: it follows from what was imported from the past; nobody should be written to
            because of it.
        lifecycle_version: the number of the published version that decided; null where no
            version was ever published and the installation's own file decides.
    """

    id: str
    workspace: str
    profile_id: str
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


def read(value: bytes) -> StageChange:
    """Read a record's value; what later versions of the contract add is left out.

    Raises:
        ValueError: it is not JSON.
        TypeError: a required field is missing.
    """
    found = json.loads(value)
    known = [it.name for it in fields(StageChange) if it.name in found]
    return StageChange(**{name: found[name] for name in known})
