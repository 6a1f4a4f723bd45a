"""Routes of outgoing webhooks: subscriptions, their secrets, and what was delivered."""

from __future__ import annotations

import os
from typing import Annotated, Final
from uuid import UUID, uuid4

import msgspec
from fastapi import APIRouter, Depends, Query
from msgspec import UNSET

from clm_common.instant import SECOND
from clm_common.runtime.tokens import Principal, require
from clm_stage_engine.api.parts import Behind, Limit, Place
from clm_stage_engine.api.webhook_bodies import (
    DeliveryPage,
    DeliveryView,
    FilterBody,
    NewWebhook,
    Replay,
    Replayed,
    Rotation,
    Tried,
    WebhookChange,
    WebhookPage,
    WebhookView,
)
from clm_stage_engine.core import outgoing
from clm_stage_engine.core.outgoing import SECRET_BYTES, State, signed, write_secret
from clm_stage_engine.cursor import Page
from clm_stage_engine.store import deliveries
from clm_stage_engine.store import webhooks as store
from clm_stage_engine.store.webhooks import Change, Disabled, Webhook

router: Final = APIRouter(tags=["webhooks"])

BY_HAND: Final[Disabled] = "by_hand"

Owner = Annotated[Principal, Depends(require("webhooks:write"))]


@router.post("/v1/webhooks", status_code=201, summary="Subscribe an endpoint")
async def post_webhook(who: Owner, behind: Behind, body: NewWebhook) -> WebhookView:
    """Deliver the workspace's stage changes to an endpoint, from now on.

    The answer has the secret that signs the deliveries, this once. Needs the scope
    `webhooks:write`, as all these routes do.
    """
    behind.outgoing.poster.check(body.url)
    secret = _new_secret()
    wanted = Change(body.name, body.url, await body.filter.of(behind, who.workspace))
    async with behind.database.transaction() as tx:
        made = await behind.outgoing.webhooks.add(tx, who.workspace, wanted, secret)
    return _view(made, secret)


@router.get("/v1/webhooks", summary="The webhooks")
async def get_webhooks(
    who: Owner, behind: Behind, cursor: Place = None, limit: Limit = 100
) -> WebhookPage:
    """List the workspace's webhooks, oldest first."""
    async with behind.database.connection() as db:
        found, following = await store.page(db, who.workspace, Page(cursor, limit))
    return WebhookPage(webhooks=[_view(it) for it in found], next=following)


@router.get("/v1/webhooks/{webhook_id}", summary="One webhook")
async def get_webhook(who: Owner, behind: Behind, webhook_id: UUID) -> WebhookView:
    """Give a webhook."""
    async with behind.database.connection() as db:
        return _view(await store.get(db, who.workspace, webhook_id))


@router.patch("/v1/webhooks/{webhook_id}", summary="Change a webhook")
async def patch_webhook(
    who: Owner, behind: Behind, webhook_id: UUID, body: WebhookChange
) -> WebhookView:
    """Change name, address or filter, or switch it off and on."""
    if body.url is not None:
        behind.outgoing.poster.check(body.url)
    wanted = Change(
        body.name,
        body.url,
        None if body.filter is None else await body.filter.of(behind, who.workspace),
        UNSET if body.enabled is None else None if body.enabled else BY_HAND,
    )
    async with behind.database.transaction() as tx:
        changed = await behind.outgoing.webhooks.change(tx, who.workspace, webhook_id, wanted)
    return _view(changed)


@router.delete("/v1/webhooks/{webhook_id}", status_code=204, summary="Remove a webhook")
async def delete_webhook(who: Owner, behind: Behind, webhook_id: UUID) -> None:
    """Remove a webhook, and what it had still to deliver."""
    async with behind.database.transaction() as tx:
        await store.remove(tx, who.workspace, webhook_id)


@router.post("/v1/webhooks/{webhook_id}/rotate", summary="Replace the secret")
async def post_rotation(
    who: Owner, behind: Behind, webhook_id: UUID, body: Rotation
) -> WebhookView:
    """Sign with a new secret; until the grace ends deliveries carry both signatures."""
    secret = _new_secret()
    async with behind.database.transaction() as tx:
        changed = await behind.outgoing.webhooks.rotate(
            tx, who.workspace, webhook_id, secret, body.grace_seconds
        )
    return _view(changed, secret)


@router.post("/v1/webhooks/{webhook_id}/test", summary="Try an endpoint out")
async def post_test(who: Owner, behind: Behind, webhook_id: UUID) -> Tried:
    """Send a signed event of the type `clm.webhook-test.v1`, once, and say what came back."""
    async with behind.database.connection() as db:
        found = await store.get(db, who.workspace, webhook_id)
        secrets = await behind.outgoing.webhooks.secrets(db, webhook_id)
    name = f"test-{uuid4()}"
    body = outgoing.trial(name, who.workspace, behind.clock.now())
    headers = signed(name, behind.clock.now() // SECOND, body, secrets)
    answer = await behind.outgoing.poster.post(found.url, headers, body)
    return Tried(delivered=answer.reason is None, status=answer.status, reason=answer.reason)


@router.get("/v1/webhooks/{webhook_id}/deliveries", summary="What was delivered")
async def get_deliveries(
    who: Owner,
    behind: Behind,
    webhook_id: UUID,
    state: Annotated[State | None, Query(description="Only those that stand so.")] = None,
    cursor: Place = None,
    limit: Limit = 100,
) -> DeliveryPage:
    """List deliveries, newest first, with the last try of each and when it is tried next.

    Delivered ones are listed for three days, dead ones for thirty.
    """
    async with behind.database.connection() as db:
        await store.get(db, who.workspace, webhook_id)
        found, following = await deliveries.page(db, webhook_id, state, Page(cursor, limit))
    return DeliveryPage(deliveries=[_delivery(it) for it in found], next=following)


@router.post("/v1/webhooks/{webhook_id}/replay", summary="Try dead deliveries anew")
async def post_replay(who: Owner, behind: Behind, webhook_id: UUID, body: Replay) -> Replayed:
    """Try dead deliveries anew, these or all, from the beginning of the schedule."""
    async with behind.database.transaction() as tx:
        await store.get(tx, who.workspace, webhook_id)
        count = await deliveries.replay(tx, webhook_id, body.ids)
    return Replayed(replayed=count)


def _new_secret() -> str:
    return write_secret(os.urandom(SECRET_BYTES))


def _view(it: Webhook, secret: str | None = None) -> WebhookView:
    return WebhookView(
        id=it.id,
        name=it.name,
        url=it.url,
        filter=FilterBody(**msgspec.structs.asdict(it.filter)),
        enabled=it.disabled is None,
        disabled_reason=it.disabled,
        previous_secret_until=it.previous_until,
        created_at=it.created_at,
        secret=secret,
    )


def _delivery(it: deliveries.Delivery) -> DeliveryView:
    fields = msgspec.structs.asdict(it)
    return DeliveryView(
        webhook_id=fields.pop("message"), profile_id=fields.pop("profile"), **fields
    )
