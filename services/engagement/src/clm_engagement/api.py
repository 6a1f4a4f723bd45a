"""The HTTP face: what became of messages, for operators; and the way out, for recipients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final
from uuid import UUID

import structlog
from fastapi import Depends, FastAPI, Query
from fastapi.responses import HTMLResponse

from clm_common.clock import Clock
from clm_common.runtime.http import new_app
from clm_common.runtime.tokens import Principal, Verifier, require
from clm_common.store.database import Database
from clm_engagement import pages
from clm_engagement.core.unsubscribe import verify
from clm_engagement.definitions import Definitions
from clm_engagement.store import aftermath, listing
from clm_engagement.views import (
    JourneyList,
    MessagePage,
    State,
    journeys_of,
    page_of,
    place_of,
    states_of,
)

log = structlog.get_logger()

Reader = Annotated[Principal, Depends(require("engagement:read"))]

_DESCRIPTION: Final = (
    "Journeys and the messages they plan. Every planned message is in exactly one state: pending, "
    "sent, skipped with a reason, failed with a reason, or unknown."
)
_PAGE: Final[dict[int | str, dict[str, Any]]] = {  # Any: a JSON document
    200: {"content": {"text/html": {}}},
    404: {"description": "No link of ours"},
}


def make_app(
    database: Database,
    verifier: Verifier,
    definitions: Definitions,
    *,
    keys: Sequence[bytes],
    sender: str,
    clock: Clock,
) -> FastAPI:
    """Make the app.

    Args:
        database: engagement's schema.
        verifier: checks bearer tokens.
        definitions: the journeys that run.
        keys: sign the links in messages, the newest first.
        sender: who writes, for the pages.
        clock: stamps what recipients decide.
    """
    app = new_app("engagement", title="CLM engagement", description=_DESCRIPTION, version="1")
    app.state.verifier = verifier
    _add_operators_routes(app, database, definitions)
    _add_recipients_routes(app, database, keys=keys, sender=sender, clock=clock)
    return app


def _add_operators_routes(app: FastAPI, database: Database, definitions: Definitions) -> None:
    @app.get("/v1/messages", tags=["messages"], summary="List messages")
    async def list_messages(  # pyright: ignore[reportUnusedFunction] - the route uses it
        who: Reader,
        profile_id: Annotated[
            UUID | None, Query(description="Planned for this profile or a device of theirs.")
        ] = None,
        state: Annotated[State | None, Query(description="Only those in this state.")] = None,
        journey: Annotated[str | None, Query(description="Only those of this journey.")] = None,
        cursor: Annotated[str | None, Query(description="`next` of the page before.")] = None,
        limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.")] = 100,
    ) -> MessagePage:
        """Page through the planned messages, the latest stage entry first."""
        which = listing.Filter(profile_id, states_of(state) if state else None, journey)
        after = place_of(cursor) if cursor else None
        async with database.connection() as db:
            found = await listing.list_messages(db, who.workspace, which, after=after, limit=limit)
        return page_of(found, limit)

    @app.get("/v1/journeys", tags=["journeys"], summary="List journeys")
    async def list_journeys(who: Reader) -> JourneyList:  # pyright: ignore[reportUnusedFunction] - the route uses it
        """Give every journey, and how many of its messages have met which fate."""
        async with database.connection() as db:
            counts = await listing.count_messages(db, who.workspace)
        return journeys_of(definitions.journeys.values(), counts)


def _add_recipients_routes(
    app: FastAPI, database: Database, *, keys: Sequence[bytes], sender: str, clock: Clock
) -> None:
    @app.get(
        "/u/{token}",
        tags=["preferences"],
        summary="Ask to unsubscribe",
        response_class=HTMLResponse,
        responses=_PAGE,
    )
    async def ask_to_unsubscribe(token: str) -> HTMLResponse:  # pyright: ignore[reportUnusedFunction] - the route uses it
        """Show a page with a button; changes nothing, whoever fetches it."""
        if verify(token, keys) is None:
            return HTMLResponse(pages.unknown(), 404, headers=pages.HEADERS)
        return HTMLResponse(pages.ask(sender), headers=pages.HEADERS)

    @app.post(
        "/u/{token}",
        tags=["preferences"],
        summary="Unsubscribe",
        response_class=HTMLResponse,
        responses=_PAGE,
    )
    async def unsubscribe(token: str) -> HTMLResponse:  # pyright: ignore[reportUnusedFunction] - the route uses it
        """Unsubscribe the recipient of a message; it has taken effect when this answers.

        As RFC 8058 asks: no login, no cookie, no redirect; the body is not read.
        """
        message = verify(token, keys)
        if message is not None:
            async with database.transaction() as tx:
                found = await aftermath.suppress(
                    tx, message, reason="unsubscribed", now=clock.now()
                )
            if found:
                log.info("recipient.unsubscribed", message=str(message))
                return HTMLResponse(pages.done(sender), headers=pages.HEADERS)
        return HTMLResponse(pages.unknown(), 404, headers=pages.HEADERS)
