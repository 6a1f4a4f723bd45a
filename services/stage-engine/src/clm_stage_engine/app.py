"""Puts stage-engine together: its schema, its worker, its relays and its API."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

from clm_common.bus.kafka import PartitionReader, TransactionalPublisher
from clm_common.bus.ports import Publisher
from clm_common.contracts.topics import (
    ERASURES,
    ERASURES_DLQ,
    JOURNEY,
    PUBLISHED,
    STAGE_CHANGES,
    TOUCHPOINTS,
    TOUCHPOINTS_DLQ,
)
from clm_common.runtime.relay import Relay
from clm_common.runtime.service import Service
from clm_common.runtime.tokens import Verifier
from clm_common.runtime.wiring import Plant, plant
from clm_common.store.database import Database
from clm_common.store.offsets import Claim
from clm_common.store.vault import Vault
from clm_stage_engine import definitions, housekeeping
from clm_stage_engine.answers import open_answers
from clm_stage_engine.api import make_app
from clm_stage_engine.api.parts import Outgoing
from clm_stage_engine.batch import write_together
from clm_stage_engine.changing.jobs import Diffs
from clm_stage_engine.channel_file import load_channels, own_channels
from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.identifiers import Identifiers
from clm_stage_engine.courier import Courier
from clm_stage_engine.erased import Erased
from clm_stage_engine.governing import Board, Decree
from clm_stage_engine.handlers import TouchpointHandler
from clm_stage_engine.identity_file import SHIPPED, load_identifiers
from clm_stage_engine.live import Hub
from clm_stage_engine.outbox import Facts
from clm_stage_engine.posting import Poster
from clm_stage_engine.queries import people
from clm_stage_engine.receipts import Receipts
from clm_stage_engine.running import Running, chosen, known, published
from clm_stage_engine.sealing import SealingPublisher
from clm_stage_engine.settings import Settings
from clm_stage_engine.store import SCHEMA, eras, keys, runs
from clm_stage_engine.store.months import Months
from clm_stage_engine.store.webhooks import PURPOSE, Webhooks, keep_to

TOPICS: Final = (
    TOUCHPOINTS,
    TOUCHPOINTS_DLQ,
    JOURNEY,
    STAGE_CHANGES,
    PUBLISHED,
    ERASURES,
    ERASURES_DLQ,
)


@asynccontextmanager
async def build(settings: Settings) -> AsyncGenerator[Service]:
    """Open what stage-engine needs and yield it."""
    own = (settings.lifecycle_dir,) if settings.lifecycle_dir else ()
    folders = (definitions.SHIPPED, *own)
    every = known(folders)
    running = chosen(every, settings.main_lifecycle)
    beside = [chosen(every, it).lifecycle.key for it in settings.further_lifecycles]
    channels = load_channels(*own_channels(own))
    identifiers = load_identifiers(settings.identity_file or SHIPPED)
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(
            plant(settings, package="clm_stage_engine", schema=SCHEMA)
        )
        months = Months(parts.database, parts.clock)
        board = make_board(parts.database, running, channels, every)
        handlers = partial(
            open_handler, settings, parts, board, channels, identifiers, months, erased=Erased()
        )
        live = Hub(parts.database, parts.clock)
        answers = await stack.enter_async_context(PartitionReader(parts.kafka))
        receipts = Receipts(parts.database, parts.kafka, answers)
        webhooks = Webhooks(Vault(PURPOSE, settings.secrets_keys))
        poster = await stack.enter_async_context(
            Poster(parts.clock, http=settings.webhooks_http, private=settings.webhooks_private)
        )
        comparing = await stack.enter_async_context(
            Database.of(settings, SCHEMA, size=2, seconds=people.SECONDS)
        )
        diffs = Diffs(comparing, board, owner=settings.worker_id, lease=settings.lease_seconds)
        yield Service(
            app=make_app(
                parts.database,
                Verifier.of(settings),
                parts.clock,
                board,
                live,
                producer=parts.producer,
                identifiers=identifiers,
                outgoing=Outgoing(webhooks, poster),
                keys=keys.keys_of(settings.journey_keys, parts.database),
            ),
            pings=parts.pings,
            prepare=partial(prepare, parts, board, beside),
            tasks={
                "worker": parts.worker(TOUCHPOINTS, handlers, together=write_together).run,
                "lifecycles": board.stay_fresh,
                "diffs": diffs.run,
                "answers": parts.worker(ERASURES, open_answers, reader=answers).run,
                "receipts": receipts.run,
                "live": live.run,
                "webhooks": Courier(parts.database, parts.clock, webhooks, poster).run,
                "housekeeping": partial(
                    housekeeping.keep, parts.database, months, parts.clock, settings.keeping
                ),
            },
        )


def make_board(
    database: Database,
    running: Running,
    channels: Channels,
    every: Mapping[str, Running] | None = None,
) -> Board:
    """Make what says which definition decides about whom.

    Args:
        database: stage-engine's schema.
        running: the main lifecycle, as it runs where nothing was published.
        channels: the installation's tables.
        every: the installation's lifecycles by key.
    """

    async def read() -> Decree:
        async with database.connection() as db:
            return Decree(await eras.deciding(db), await runs.newest(db))

    return Board(running, read, lambda text, number: published(text, number, channels), every)


async def prepare(parts: Plant, board: Board, beside: Sequence[str]) -> None:
    """Bring the schema to this release, see to the topics, and learn what decides.

    Lifecycles that the settings name or name no longer are started and stopped: by an act in the
    rows, which every process follows.

    Raises:
        DefinitionError: a published version cannot be right by this release.
        Unavailable: a server is away.
    """
    await parts.prepare(TOPICS)
    async with parts.database.transaction() as tx:
        await runs.configure(tx, beside)
        await keep_to(tx, board.rules.default.lifecycle.key)
    await board.refresh()


async def open_handler(  # noqa: PLR0913, PLR0917 - what the handler is made of
    settings: Settings,
    parts: Plant,
    board: Board,
    channels: Channels,
    identifiers: Identifiers,
    months: Months,
    claim: Claim,
    *,
    erased: Erased,
) -> TouchpointHandler:
    """Make the handler of a partition that was just taken, with its relay."""

    async def publisher() -> Publisher:
        plain = TransactionalPublisher(
            parts.kafka, service="clm-stage-engine", partition=claim.partition
        )
        if settings.journey_sealed:
            return SealingPublisher(
                plain, keys.keys_of(settings.journey_keys, parts.database), opened=note
            )
        async with parts.database.connection() as db:
            await keys.note_plain(db, claim.partition)
        return plain

    async def note(published: int) -> None:
        async with parts.database.connection() as db:
            await keys.note_sealed(db, claim.partition, first=not published)

    facts = Facts(parts.database, TOUCHPOINTS.name, claim.partition)
    return TouchpointHandler(
        claim,
        database=parts.database,
        board=board,
        channels=channels,
        identifiers=identifiers,
        partitions=TOUCHPOINTS.partitions,
        relay=Relay(claim.partition, publisher, facts),
        clock=parts.clock,
        months=months,
        cached_profiles=settings.cached_profiles,
        erased=erased,
        keeping=settings.keeping,
    )
