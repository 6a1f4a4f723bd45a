"""What the API answers, for OpenAPI and for those who read it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from clm_common.contracts.touchpoint import TouchpointType
from clm_common.runtime.models import Answer

Next = Field(default=None, description="Pass it as `cursor` for the next page.")


class Standing(Answer):
    """Where somebody stands in a lifecycle."""

    stage: str
    since: datetime = Field(description="When they entered it.")
    definition: str = Field(description="The digest of the definition that decided.")


class Profile(Answer):
    """One customer, known or anonymous."""

    id: UUID
    user_id: str | None = Field(description="The customer's id in the company's systems.")
    anonymous_ids: list[str] = Field(description="Devices that are theirs; 100 at most.")
    stage: str = Field(description="The stage they are in, by the main lifecycle.")
    stage_since: datetime
    first_seen: datetime
    last_seen: datetime | None = Field(
        description="Their newest touchpoint or deadline; null where `as_of` or `recorded` ask "
        "for what is not kept any more, see `kept_from`."
    )
    touchpoints: int | None = Field(description="How many touchpoints counted; null likewise.")
    version: int = Field(description="Grows by one with each change.")
    definition: str = Field(description="The digest of the lifecycle that decided.")
    lifecycles: dict[str, Standing] = Field(
        default_factory=dict[str, Standing],
        description="Where they stand in every lifecycle that runs, by key, the main one first.",
    )
    merged_into: UUID | None = Field(
        default=None,
        description="The profile that you asked for was merged into this one, which is shown.",
    )
    as_of: datetime | None = Field(
        default=None, description="What happened later is left out, as asked."
    )
    recorded: datetime | None = Field(
        default=None, description="What was recorded later is left out, as asked."
    )
    kept_from: datetime | None = Field(
        default=None,
        description="What happened before this instant is folded into a snapshot: stage changes "
        "are kept, touchpoints are not. Null where everything is kept.",
    )


class ProfilePage(Answer):
    """Some profiles: of a stage in the order in which they entered it, else by id."""

    profiles: list[Profile]
    next: str | None = Next


class Identity(Answer):
    """An identifier that is a profile's."""

    kind: str = Field(description="`user_id`, `anonymous_id`, …")
    value: str
    linked_at: datetime | None = Field(
        description="The instant of the touchpoint that linked it; null where it is their own."
    )


class IdentityPage(Answer):
    """Some of a profile's identifiers, by kind and value."""

    profile_id: UUID
    identities: list[Identity]
    next: str | None = Next


class Named(Answer):
    """An identifier that a decision is about."""

    kind: str = Field(description="`user_id`, `anonymous_id`, or of a match `email` and the like.")
    value: str


class Decision(Answer):
    """Somebody's decision about who is one person."""

    id: UUID
    kind: Literal["alias", "match", "merge", "split", "unmerge"]
    at: datetime = Field(description="Its place among the others, in event time.")
    recorded_at: datetime | None = Field(
        description="When it was written down; null: it is safe, and will be in a moment."
    )
    reason: str | None = Field(description="Why; a sender's call says none.")
    author: str | None = Field(
        description="The `sub` of the token; null: an alias call, or the match of an identify call."
    )
    cause: str = Field(description="source/message id of what said it.")
    identifiers: list[Named] = Field(
        description="Of a merge first into whom; of an unmerge those of what it takes back."
    )
    undoes: UUID | None = Field(description="The decision that it takes back.")
    undone_by: UUID | None = Field(description="The decision that took it back.")
    without_effect: str | None = Field(
        default=None,
        description="Why it joins nobody: which kind of identifier forbids it, and how.",
    )


class DecisionPage(Answer):
    """Some of the decisions about a person, the newest first."""

    decisions: list[Decision]
    beyond_limit: list[Named] = Field(
        default_factory=list[Named],
        description="Devices that were linked to the person and stay apart, because they have as "
        "many as `identity.yaml` allows.",
    )
    next: str | None = Next


class Touchpoint(Answer):
    """A touchpoint with all that it carried."""

    id: str = Field(description="source/message id.")
    at: datetime = Field(description="When it happened, in event time.")
    received_at: datetime = Field(description="When it was received.")
    recorded_at: datetime = Field(description="When it was counted.")
    source: str = Field(description="The source that sent it.")
    message_id: str = Field(description="The sender's id.")
    type: TouchpointType
    event: str | None = Field(description="The tracked event's name.")
    channel: str | None = Field(
        description="How the customer came to it, or through what it reached them."
    )
    campaign: str | None = Field(description="The campaign's name.")
    content: str | None = Field(description="Which of the campaign's ads or links it was.")
    touchpoint: dict[str, Any] = Field(description="The event as it was sent.")  # Any: its JSON
    late: bool = Field(description="It came too late to count; `recorded_at` is when it came.")


class LateTouchpoint(Touchpoint):
    """A touchpoint that came too late to count, and whose it is."""

    profile_id: UUID | None = Field(description="Whose it is; null where nobody is known by it.")


class LatePage(Answer):
    """Some of a workspace's late touchpoints, the newest arrival first."""

    touchpoints: list[LateTouchpoint]
    next: str | None = Next


class TouchpointPage(Answer):
    """A piece of a profile's touchpoints, newest first."""

    profile_id: UUID
    touchpoints: list[Touchpoint] = Field(
        description="May be fewer than `limit` though more follow: see `next`."
    )
    next: str | None = Next
    kept_from: datetime | None = Field(
        default=None,
        description="What happened before this instant is folded into a snapshot: stage changes "
        "are kept, touchpoints are not. Null where everything is kept.",
    )


class Outlook(Answer):
    """What happens at a deadline if nothing else happens before."""

    target: str = Field(description="The stage that is entered.")
    move: str = Field(description="The transition's name.")


class Deadline(Answer):
    """The next instant at which time alone may move somebody."""

    profile_id: UUID
    user_id: str | None
    lifecycle: str = Field(description="In which lifecycle.")
    stage: str
    due: datetime
    then: Outlook | None = Field(
        description="The move; null where it only makes the engine look again."
    )


class DeadlinePage(Answer):
    """Some deadlines, the earliest first."""

    deadlines: list[Deadline]
    next: str | None = Next


class StageCount(Answer):
    """How many are in a stage."""

    stage: str
    title: str | None
    people: int


class StageCounts(Answer):
    """The stages of the lifecycle in its order, those of earlier definitions last."""

    lifecycle: str
    definition: str
    stages: list[StageCount]


class Stage(Answer):
    """A stage as its lifecycle defines it."""

    key: str
    title: str | None
    description: str | None
    aliases: list[str]


class Lifecycle(Answer):
    """A lifecycle that runs."""

    key: str
    title: str | None
    description: str | None
    definition: str = Field(description="Its digest, as profiles and stage changes carry it.")
    start: str = Field(description="The stage that a first touchpoint enters.")
    stages: list[Stage] = Field(description="In their order.")
    document: dict[str, Any] = Field(description="The definition.")  # Any: what YAML holds
    yaml: str = Field(description="The definition as its file has it.")
    version: int | None = Field(
        description="Its number among those published; null: the installation's own file decides."
    )


class Lifecycles(Answer):
    """The lifecycles that run."""

    lifecycles: list[Lifecycle]


class Progress(Answer):
    """How much has been folded."""

    profiles: int = Field(description="Profiles of the workspace.")
    touchpoints: int = Field(description="Touchpoints of the workspace that counted.")
    next_offsets: dict[int, int] = Field(
        description="By partition of clm.touchpoints: the next offset to be folded."
    )
    facts: dict[int, int] = Field(description="By partition: the seq of the newest fact.")


class Store(Answer):
    """One of the places where a person was kept."""

    service: str
    done_at: datetime | None = Field(description="When everything there was erased; null: not yet.")


class CleanTopic(Answer):
    """A topic that still holds what was published of a person, and until when."""

    topic: str
    before: dict[int, int] = Field(
        description="Per partition: records of the person stand before this offset, none after it."
    )
    clean_by: datetime | None = Field(
        description="When the last of these is deleted, by the topic's settings as they were when "
        "the person was erased; null where the topic never deletes."
    )
    copy_of_river: bool = Field(description="It is a copy that `clm journey republish` made.")
    sealed: bool = Field(
        description="All it holds of the person was sealed with keys that were deleted: nobody can "
        "read it since the erasure, which is what `clean_by` says then, however long it is kept."
    )


class Erasure(Answer):
    """The receipt of an erasure; whose it was cannot be told from it."""

    id: UUID
    state: Literal["waiting", "erasing", "erased"] = Field(
        description="`erased`: every store has confirmed. Topics follow, see `topics`."
    )
    reason: str
    author: str = Field(description="The `sub` of the token.")
    asked_at: datetime
    profiles: int | None = Field(description="How many profiles the person had, merged ones too.")
    touchpoints: int | None = Field(description="How many touchpoints were erased.")
    stores: list[Store]
    topics: list[CleanTopic] = Field(description="Empty until it is known, within a minute.")
