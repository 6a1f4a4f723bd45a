"""Puts engagement together: its schema, its worker, delivery, reports and its API."""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

import structlog

from clm_common.contracts.topics import ERASURES, JOURNEY, JOURNEY_DLQ, TOUCHPOINTS
from clm_common.runtime.confirming import Confirmations
from clm_common.runtime.service import Service
from clm_common.runtime.tokens import Verifier
from clm_common.runtime.wiring import plant
from clm_common.store.offsets import Claim
from clm_engagement.api import make_app
from clm_engagement.channels import discover
from clm_engagement.core.keyed import Keyed
from clm_engagement.definitions import FOLDER, load_definitions
from clm_engagement.delivery import Delivery
from clm_engagement.handlers import JourneyHandler, Plans
from clm_engagement.letters import Terms, lease_of
from clm_engagement.reports import Reports
from clm_engagement.settings import Settings
from clm_engagement.store import SCHEMA

log = structlog.get_logger()

TOPICS: Final = (JOURNEY, JOURNEY_DLQ, TOUCHPOINTS, ERASURES)


@asynccontextmanager
async def build(settings: Settings) -> AsyncGenerator[Service]:
    """Open what engagement needs and yield it.

    Raises:
        DefinitionError: a journey or a template cannot be right.
    """
    channels = discover()
    definitions = load_definitions(
        settings.journey_dir or FOLDER, channels, settings.main_lifecycle
    )
    keys = settings.signing_keys or (_key_for_now(),)
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(
            plant(settings, package="clm_engagement", schema=SCHEMA)
        )
        senders = {
            key: await stack.enter_async_context(channel.open(settings))
            for key, channel in channels.items()
        }
        reports = Reports(parts.database, parts.producer)
        delivery = Delivery(
            parts.database,
            definitions,
            channels=channels,
            senders=senders,
            terms=terms_of(settings, keys[0]),
            clock=parts.clock,
            on_sent=reports.wake,
        )
        plans = Plans(
            definitions.journeys,
            clock=parts.clock,
            window=settings.live_window,
            on_planned=delivery.wake,
        )
        app = make_app(
            parts.database,
            Verifier.of(settings),
            definitions,
            keys=keys,
            sender=settings.sender[0] or settings.sender[1],
            clock=parts.clock,
        )
        yield Service(
            app=app,
            pings=parts.pings,
            prepare=partial(parts.prepare, TOPICS),
            tasks={
                "worker": parts.worker(JOURNEY, partial(open_handler, plans)).run,
                "delivery": delivery.run,
                "reports": reports.run,
                "confirmations": Confirmations(parts.database, parts.producer, "engagement").run,
            },
        )


def terms_of(settings: Settings, signing_key: bytes) -> Terms:
    """Give the terms on which messages are delivered."""
    return Terms(
        sender=settings.sender,
        public_url=settings.public_url,
        signing_key=signing_key,
        window=settings.live_window,
        lease=lease_of(settings.mail_timeout),
        at_once=settings.mail_connections,
        keyed=Keyed(settings.address_keys),
    )


async def open_handler(plans: Plans, claim: Claim) -> JourneyHandler:
    """Make the handler of a partition that was just taken."""
    del claim  # nothing depends on which partition it is
    return JourneyHandler(plans)


def _key_for_now() -> bytes:
    """Make a key for a development machine that has none; production refuses to start without."""
    log.warning("settings.no_signing_key", detail="links in messages die with this process")
    return secrets.token_bytes(32)
