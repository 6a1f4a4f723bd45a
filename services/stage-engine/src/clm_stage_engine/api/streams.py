"""Routes that stay open: stage changes as they happen, as server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterable
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent

from clm_stage_engine.api.parts import Behind, Present, Reader, Word
from clm_stage_engine.listening import Wish
from clm_stage_engine.live import Hub
from clm_stage_engine.queries.facts import Place, read_place

router: Final = APIRouter(tags=["live"])

RETRY: Final = 1_000
"""Milliseconds after which a browser connects again."""


async def _after(
    last_event_id: Annotated[
        str | None,
        Header(description="The id of the last event received: go on from there.", max_length=4000),
    ] = None,
) -> Place | None:
    return None if last_event_id is None else read_place(last_event_id)


async def _hub(behind: Behind) -> Hub:
    behind.live.admit()
    return behind.live


async def _wish(
    who: Reader,
    behind: Behind,
    stage: Annotated[
        Word | None, Query(description="Only changes that enter or leave it, by key or alias.")
    ] = None,
    lifecycle: Annotated[
        Word | None,
        Query(
            description="Only this lifecycle's changes; by default all, or with `stage` those of "
            "the main one."
        ),
    ] = None,
) -> Wish:
    """Tell what somebody wants to hear, before the stream begins: then nothing can be refused."""
    if stage is None and lifecycle is None:
        return Wish(who.workspace)
    key = (await behind.lifecycle(who.workspace, lifecycle)).key
    named = None if stage is None else behind.stages(who.workspace, key, stage)[0]
    return Wish(who.workspace, stage=named, lifecycle=key)


After = Annotated["Place | None", Depends(_after)]
Live = Annotated[Hub, Depends(_hub)]
Wanted = Annotated[Wish, Depends(_wish)]


@router.get(
    "/v1/stream", summary="Stage changes as they happen", response_class=EventSourceResponse
)
async def stream_workspace(
    wish: Wanted, live: Live, after: After
) -> AsyncIterable[ServerSentEvent]:
    """Follow a workspace's stage changes: `stage_changed` events, retractions included.

    The data of an event is the message of `clm.stage-changes`: keep, per `id`, the one with the
    highest `version`. After a lost connection send the last event's id as `Last-Event-ID`, as
    browsers do by themselves, and nothing is missed. `end` says why a stream ends: `too_slow`,
    `stopping`, or `renew` after an hour; connect again.
    """
    async for event in _events(live, wish, after):
        yield event


@router.get(
    "/v1/profiles/{profile_id}/stream",
    summary="A profile as it happens",
    response_class=EventSourceResponse,
)
async def stream_profile(
    asked: Present,
    live: Live,
    after: After,
    *,
    touchpoints: Annotated[
        bool, Query(description="Touchpoints of the last day, too, as `touchpoint` events.")
    ] = False,
) -> AsyncIterable[ServerSentEvent]:
    """Follow one profile: `stage_changed`, `identity_moved` (merges) and, if asked, `touchpoint`.

    The data of an event is the message of `clm.journey`. See `/v1/stream` for the rest.
    """
    wish = Wish(asked.workspace, asked.id, touchpoints=touchpoints)
    async for event in _events(live, wish, after):
        yield event


async def _events(live: Hub, wish: Wish, after: Place | None) -> AsyncIterable[ServerSentEvent]:
    yield ServerSentEvent(retry=RETRY, comment="following")
    async for it in live.follow(wish, after):
        comment = None if it.name else "alive"
        yield ServerSentEvent(id=it.place, event=it.name, raw_data=it.data, comment=comment)
