"""The query API: who is, or was, in which stage and why, always of the token's workspace."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI

from clm_common.bus.ports import Producer
from clm_common.clock import Clock
from clm_common.runtime.etags import Etags
from clm_common.runtime.http import new_app
from clm_common.runtime.tokens import Verifier
from clm_common.store.database import Database
from clm_common.store.vault import Vault
from clm_stage_engine.api import (
    diffs,
    erasures,
    exports,
    histories,
    journey_keys,
    merges,
    moves,
    overviews,
    profiles,
    runs,
    streams,
    versions,
    webhooks,
)
from clm_stage_engine.api.parts import Outgoing, Parts
from clm_stage_engine.core.identifiers import Identifiers
from clm_stage_engine.governing import Board
from clm_stage_engine.identity_file import shipped
from clm_stage_engine.live import Hub
from clm_stage_engine.posting import Poster
from clm_stage_engine.store.keys import Keys, keys_of
from clm_stage_engine.store.webhooks import PURPOSE, Webhooks

__all__ = ["make_app"]

ROUTES: Final = (
    profiles,
    histories,
    moves,
    merges,
    streams,
    exports,
    erasures,
    journey_keys,
    overviews,
    versions,
    diffs,
    runs,
    webhooks,
)

_DESCRIPTION: Final = (
    "Customers' stages: who is in which one, since when, and by which touchpoint; "
    "as it is now, as it was at any instant, and as it was believed to be."
)


def make_app(  # noqa: PLR0913 - what stands behind the API
    database: Database,
    verifier: Verifier,
    clock: Clock,
    board: Board,
    live: Hub,
    *,
    producer: Producer,
    identifiers: Identifiers | None = None,
    outgoing: Outgoing | None = None,
    keys: Keys | None = None,
) -> FastAPI:
    """Make the app.

    Args:
        database: stage-engine's schema.
        verifier: checks bearer tokens.
        clock: tells what lies in the future.
        board: says which definition decides about whom.
        live: hands out what happens; somebody must run it.
        producer: publishes what somebody decided.
        identifiers: tells how identifiers are looked for; the shipped ones if left out.
        outgoing: keeps and posts webhooks; without it none can be made.
        keys: gives the keys that seal the river; without it only those that were deleted.
    """
    app = new_app("stage-engine", title="CLM stage-engine", description=_DESCRIPTION, version="1")
    app.state.verifier = verifier
    none = Outgoing(Webhooks(Vault(PURPOSE)), Poster(clock))
    app.state.parts = Parts(
        database,
        clock,
        board,
        live,
        producer,
        identifiers or shipped(),
        outgoing or none,
        keys or keys_of((), database),
    )
    for routes in ROUTES:
        app.include_router(routes.router)
    app.add_middleware(Etags)
    return app
