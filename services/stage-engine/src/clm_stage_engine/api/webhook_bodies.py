"""What requests and answers about outgoing webhooks hold."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Self
from uuid import UUID

from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from clm_common.runtime.models import Answer
from clm_stage_engine.api.parts import Parts
from clm_stage_engine.core import outgoing
from clm_stage_engine.core.outgoing import State
from clm_stage_engine.store.webhooks import Disabled
from clm_stage_engine.views import Next

DAY_SECONDS: Final = 86_400

Name = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
Url = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[\x21-\x7e]+$")]
Stage = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
Stages = Annotated[tuple[Stage, ...], Field(max_length=100)]
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]


class FilterBody(BaseModel):
    """Which stage changes are delivered."""

    model_config = ConfigDict(extra="forbid")

    lifecycle: Stage | None = Field(
        default=None,
        description="Only this lifecycle's, by key; by default every one's, or where stages are "
        "named the main one's.",
    )
    sources: Stages = Field(
        default=(),
        description="Only what leaves one of these stages, by key or alias; empty: all.",
    )
    targets: Stages = Field(
        default=(),
        description="Only what enters one of these stages, by key or alias; empty: all.",
    )
    retracted: bool = Field(default=True, description="Corrections, too: see how to subscribe.")
    historical: bool = Field(default=False, description="What follows from imported history, too.")

    async def of(self, behind: Parts, workspace: str) -> outgoing.Filter:
        """Give it as the core knows it; stages are those of the main lifecycle if none is named.

        Raises:
            Rejected: 404; the lifecycle does not run, or has no such stage.
        """
        found = outgoing.Filter(**self.model_dump())
        if self.lifecycle is None and not (self.sources or self.targets):
            return found
        key = (await behind.lifecycle(workspace, self.lifecycle)).key

        def keys(names: Stages) -> tuple[str, ...]:
            every = (it for name in names for it in behind.stages(workspace, key, name))
            return tuple(dict.fromkeys(every))

        return replace(found, lifecycle=key, sources=keys(self.sources), targets=keys(self.targets))


class NewWebhook(BaseModel):
    """A webhook to make."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field(description="What to call it; unique in the workspace.")
    url: Url = Field(description="Where to deliver to.", examples=["https://example.com/stages"])
    filter: FilterBody = FilterBody()


class WebhookChange(BaseModel):
    """What to change; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    url: Url | None = None
    filter: FilterBody | None = None
    enabled: bool | None = Field(
        None, description="Switched on again, it goes on where it stopped: nothing is left out."
    )


class Rotation(BaseModel):
    """How a secret is replaced."""

    model_config = ConfigDict(extra="forbid")

    grace_seconds: int = Field(
        DAY_SECONDS,
        ge=0,
        le=7 * DAY_SECONDS,
        description="How long the present secret signs, too.",
    )


class Replay(BaseModel):
    """Which dead deliveries to try anew."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[Id], Field(min_length=1, max_length=1000)] | None = None
    all: bool = False

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.all == (self.ids is not None):
            raise ValueError("name ids, or say all: true")
        return self


class WebhookView(Answer):
    """A webhook."""

    id: UUID
    name: str
    url: str
    filter: FilterBody
    enabled: bool
    disabled_reason: Disabled | None = Field(description="`gone`: the endpoint answered 410.")
    previous_secret_until: datetime | None = Field(
        description="Until when the secret before the last rotation signs, too."
    )
    created_at: datetime
    secret: str | None = Field(None, description="Only in the answer that made it.")


class WebhookPage(Answer):
    """Some webhooks, oldest first."""

    webhooks: list[WebhookView]
    next: str | None = Next


class DeliveryView(Answer):
    """A message to an endpoint, and how its last try went."""

    id: int
    webhook_id: str = Field(description="The header `webhook-id` that it is sent with.")
    profile_id: UUID
    state: State
    attempts: int
    planned_at: datetime
    last_at: datetime | None = Field(description="When the last try ended.")
    next_at: datetime | None = Field(description="When it is tried next.")
    status: int | None = Field(description="The code of the last response.")
    reason: str | None = Field(description="Why the last try failed.")


class DeliveryPage(Answer):
    """Some deliveries, newest first."""

    deliveries: list[DeliveryView]
    next: str | None = Next


class Replayed(Answer):
    """How many deliveries are tried anew."""

    replayed: int


class Tried(Answer):
    """What became of a test."""

    delivered: bool
    status: int | None
    reason: str | None
