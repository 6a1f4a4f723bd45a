"""Puts metrics together: its schema, its worker on the river, its API and its gauges."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from clm_common.contracts.topics import ERASURES, JOURNEY, JOURNEY_DLQ
from clm_common.runtime.confirming import Confirmations
from clm_common.runtime.service import Service
from clm_common.runtime.tokens import Verifier
from clm_common.runtime.wiring import Plant, plant
from clm_common.store.database import Database
from clm_metrics import gauges, upkeep
from clm_metrics.api import make_app
from clm_metrics.board import Board, load_kpis
from clm_metrics.handlers import open_handler
from clm_metrics.settings import Settings
from clm_metrics.store import SCHEMA

TOPICS: Final = (JOURNEY, JOURNEY_DLQ, ERASURES)


@asynccontextmanager
async def build(settings: Settings) -> AsyncGenerator[Service]:
    """Open what metrics needs and yield it.

    Raises:
        DefinitionError: a KPI of the catalogue cannot be right.
    """
    kpis = load_kpis()
    async with plant(settings, package="clm_metrics", schema=SCHEMA) as parts:
        board = Board(
            parts.database,
            parts.clock,
            kpis,
            settings.zones,
            settings.stage_order,
            settings.main_lifecycle,
        )
        worker = parts.worker(JOURNEY, partial(open_handler, settings.zones))
        yield Service(
            app=make_app(board, Verifier.of(settings)),
            pings=parts.pings,
            prepare=partial(prepare, settings, parts),
            tasks={
                "worker": worker.run,
                "confirmations": Confirmations(parts.database, parts.producer, "metrics").run,
                "gauges": partial(gauges.keep, parts.database),
            },
        )


async def prepare(settings: Settings, parts: Plant) -> None:
    """Bring schema and figures up to date, and see that the topics are as they must be.

    Raises:
        Unavailable: PostgreSQL or Kafka is away.
        SettingsError: a topic is missing or differs.
    """
    await parts.prepare(TOPICS)
    patient = Database.of(settings, SCHEMA, size=1, seconds=upkeep.LONGEST)
    async with patient as database:
        await upkeep.align(database, settings.zones)
