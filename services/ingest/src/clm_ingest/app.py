"""Puts ingest together: its sources, its producer, the tracking routes and the admin API."""

from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import msgspec
from starlette.types import ASGIApp

from clm_common.bus.kafka import GroupProducer, PartitionReader
from clm_common.bus.kafka.admin import check_topics
from clm_common.clock import SystemClock
from clm_common.contracts.topics import TOUCHPOINTS, TOUCHPOINTS_DLQ
from clm_common.errors import SettingsError
from clm_common.runtime.front import not_yet
from clm_common.runtime.service import Service
from clm_common.runtime.tokens import Verifier
from clm_common.runtime.wiring import kafka_of
from clm_common.runtime.worker import Worker
from clm_common.store.database import Database
from clm_common.store.migrations import migrate
from clm_common.store.offsets import Leases
from clm_common.store.vault import Vault
from clm_ingest import routes_hooks, script
from clm_ingest.api import make_app
from clm_ingest.closed import Closed
from clm_ingest.core.inbound import HookKeys
from clm_ingest.core.proxies import Proxies
from clm_ingest.cors import Cors
from clm_ingest.gate import Gate
from clm_ingest.handlers import Tracking
from clm_ingest.indexing import open_indexer
from clm_ingest.keyring import Keyring
from clm_ingest.letterbox import Letterbox
from clm_ingest.receiver import Receiver
from clm_ingest.rehearsal import Rehearsal
from clm_ingest.replay import Replayer
from clm_ingest.routes import DEFAULT, OPENERS
from clm_ingest.routes_posthog import POSTHOG
from clm_ingest.settings import Settings
from clm_ingest.shim import Shim
from clm_ingest.store import SCHEMA, Hooks, Keys, Letters, Plans, Sources
from clm_ingest.store.hooks import PURPOSE
from clm_ingest.table import Table
from clm_ingest.tally import Kind, Tally

TOPICS: Final = (TOUCHPOINTS, TOUCHPOINTS_DLQ)

_CONNECTIONS: Final = 8
_LINGER: Final = 0.002


@asynccontextmanager
async def build(settings: Settings) -> AsyncGenerator[Service]:
    """Open what ingest needs and yield it."""
    kafka, clock = kafka_of(settings), SystemClock()
    mappings = routes_hooks.mappings(settings.ingest_hook_dir)  # a wrong one refuses to start
    async with (
        Database.of(settings, SCHEMA, size=_CONNECTIONS) as database,
        GroupProducer(
            kafka, pending_bytes=settings.ingest_pending_bytes, linger=_LINGER
        ) as producer,
        PartitionReader(kafka) as indexed,
        PartitionReader(kafka) as fetched,
    ):
        sources, letters, plans = Sources(database), Letters(database), Plans(database)
        hooks = Hooks(database, Vault(PURPOSE, settings.secrets_keys))
        tally = Tally(partial(write_counts, plans), clock)

        async def keys() -> Sequence[Keys]:
            return with_hooks(await sources.keys(await plans.current()), await hooks.keys())

        keyring = Keyring(keys, clock)
        receiver = Receiver(keyring, mappings)

        async def prepare() -> None:
            await migrate(settings.database_url, package="clm_ingest", schema=SCHEMA)
            await keyring.refresh()
            check_secrets(keyring)
            await check_topics(kafka, TOPICS)

        public_url, gate = settings.ingest_public_url or "", Gate(Proxies(settings.proxies), tally)
        limits = settings.bounds.limits
        tracking = Tracking(
            keyring, producer, clock, settings.bounds, public_url, gate=gate, receiver=receiver
        )
        box = Letterbox(fetched)
        replayer = Replayer(
            letters, box, keyring, gate, producer, limits, receiver=receiver, openers=OPENERS
        )
        verifier = Verifier.of(settings)
        admin = make_app(
            sources, keyring, verifier, most=settings.most, letters=letters, replayer=replayer,
            plans=plans, hooks=hooks, rehearsal=Rehearsal(receiver, keyring, limits, clock),
        )  # fmt: skip
        yield Service(
            app=Shim(tracking, table_of(settings), Cors(admin), prefix=settings.ingest_prefix),
            pings={"postgres": database.ping, "kafka": producer.ping},
            prepare=prepare,
            tasks={
                "keyring": keyring.stay_fresh,
                "violations": tally.keep,
                "quarantine": _indexer(settings, database, indexed, producer).run,
            },
        )


def early(settings: Settings) -> ASGIApp:
    """Give what answers while ingest starts."""
    return Shim(Closed(), table_of(settings), not_yet, prefix=settings.ingest_prefix)


def table_of(settings: Settings) -> Table:
    """Give the routes there are."""
    captures = POSTHOG if settings.ingest_posthog else ()
    return Table((*DEFAULT, *captures, *script.routes(settings.ingest_script_path)))


def with_hooks(sources: Sequence[Keys], hooks: Sequence[HookKeys]) -> Sequence[Keys]:
    """Give sources with the hooks that belong to them."""
    of: dict[str, list[HookKeys]] = defaultdict(list)
    for hook in hooks:
        of[hook.source].append(hook)
    return [
        msgspec.structs.replace(it, hooks=of[it.source]) if it.source in of else it
        for it in sources
    ]


def check_secrets(keyring: Keyring) -> None:
    """Return if every hook's secret can be read.

    Raises:
        SettingsError: not so; it names the variable and the hooks.
    """
    if sealed := keyring.sealed:
        raise SettingsError(
            "secrets.key_wrong",
            "CLM_SECRETS_KEY must hold the key that the secrets of these hooks were encrypted "
            f"with: {', '.join(sealed)}",
            variables=["CLM_SECRETS_KEY"],
        )


async def write_counts(plans: Plans, counts: Mapping[Kind, int], now: int) -> None:
    """Add what a tally counted to the table."""
    await plans.count([(*msgspec.structs.astuple(kind), n) for kind, n in counts.items()], now)


def _indexer(
    settings: Settings, database: Database, reader: PartitionReader, producer: GroupProducer
) -> Worker:
    """Make the worker that keeps the quarantine's index; one process has it at a time."""
    leases = Leases(
        database,
        topic=TOUCHPOINTS_DLQ.name,
        partitions=TOUCHPOINTS_DLQ.partitions,
        owner=settings.worker_id,
        lease=settings.lease_seconds,
    )
    return Worker(
        topic=TOUCHPOINTS_DLQ.name,
        reader=reader,
        producer=producer,
        database=database,
        leases=leases,
        open_handler=open_indexer,
        clock=SystemClock(),
    )
