"""The admin API of a workspace; and the tracking routes' manual."""

from typing import Final

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

from clm_common.runtime.http import new_app
from clm_common.runtime.tokens import Verifier
from clm_ingest.api.hooks import HookRoutes
from clm_ingest.api.plans import PlanRoutes
from clm_ingest.api.quarantine import QuarantineRoutes
from clm_ingest.api.sources import SourceRoutes
from clm_ingest.core.policy import SizeLimits
from clm_ingest.keyring import Keyring
from clm_ingest.manual import document_routes
from clm_ingest.rehearsal import Rehearsal
from clm_ingest.replay import Replayer
from clm_ingest.routes import ALL
from clm_ingest.store import Hooks, Letters, Plans, Sources

_DESCRIPTION: Final = (
    "Takes in touchpoints in Segment's form. Point any Segment SDK at this host; an event is on "
    "Kafka once it is answered 200."
)


def make_app(  # noqa: PLR0913 - the parts it is made of
    sources: Sources,
    keyring: Keyring,
    verifier: Verifier,
    *,
    most: SizeLimits,
    letters: Letters,
    replayer: Replayer,
    plans: Plans,
    hooks: Hooks,
    rehearsal: Rehearsal,
) -> FastAPI:
    """Make the app.

    Args:
        sources: the table of sources.
        keyring: the keys in memory, read again after a change.
        verifier: checks bearer tokens.
        most: the service's own sizes; no policy goes beyond them.
        letters: the index of the quarantine.
        replayer: sends what is in it once more.
        plans: the tracking plans.
        hooks: the table of hooks.
        rehearsal: tries webhooks out.
    """
    app = new_app("ingest", title="CLM ingest", description=_DESCRIPTION, version="1")
    app.state.verifier = verifier
    SourceRoutes(sources, keyring, most).add_to(app)
    PlanRoutes(plans, keyring).add_to(app)
    HookRoutes(hooks, keyring, rehearsal).add_to(app)
    QuarantineRoutes(letters, replayer).add_to(app)
    app.add_api_route("/robots.txt", robots, include_in_schema=False)
    document_routes(app, ALL)
    return app


async def robots() -> PlainTextResponse:
    """Keep crawlers away."""
    return PlainTextResponse("User-agent: *\nDisallow: /\n")
