"""How a service that consumes a topic is put together: the same parts, wired the same way."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from msgspec import Struct

from clm_common.bus.kafka import GroupProducer, KafkaSettings, PartitionReader
from clm_common.bus.kafka.admin import check_topics
from clm_common.bus.ports import Reader
from clm_common.clock import Clock, SystemClock
from clm_common.contracts.topics import Topic
from clm_common.runtime.handler import OpenHandler
from clm_common.runtime.journey_keys import JourneyKeys
from clm_common.runtime.opening import Opener
from clm_common.runtime.probes import Ping
from clm_common.runtime.sharing import WriteTogether
from clm_common.runtime.worker import Worker
from clm_common.settings import ServiceSettings
from clm_common.settings_river import RiverSettings
from clm_common.store.database import Database
from clm_common.store.migrations import migrate
from clm_common.store.offsets import Leases


def kafka_of(settings: ServiceSettings) -> KafkaSettings:
    """Give the way to Kafka that a service's settings describe."""
    password = settings.kafka_sasl_password
    sasl = settings.kafka_security_protocol.startswith("SASL")
    cafile = settings.kafka_ssl_cafile
    return KafkaSettings(
        bootstrap=settings.kafka_bootstrap,
        security_protocol=settings.kafka_security_protocol,
        sasl_mechanism=settings.kafka_sasl_mechanism if sasl else None,
        sasl_username=settings.kafka_sasl_username,
        sasl_password=password.get_secret_value() if password else None,
        ssl_cafile=str(cafile) if cafile else None,
        client_id=settings.worker_id,
    )


class Plant(Struct, frozen=True):
    """The opened parts of a consuming service.

    Attributes:
        settings: what it was told.
        package: the service's package, which holds its migrations.
        database: its schema.
        kafka: the way to Kafka.
        producer: publishes dead letters and whatever else the service publishes.
        reader: reads the consumed topic.
        clock: the machine's.
        opener: opens what is sealed, for services that read the river.
    """

    settings: ServiceSettings
    package: str
    database: Database
    kafka: KafkaSettings
    producer: GroupProducer
    reader: PartitionReader
    clock: Clock
    opener: Opener | None = None

    @property
    def pings(self) -> dict[str, Ping]:
        """What must answer for the service to be ready."""
        return {"postgres": self.database.ping, "kafka": self.producer.ping}

    async def prepare(self, topics: Sequence[Topic]) -> None:
        """Bring the schema up to date and see that the topics are as they must be.

        Raises:
            Unavailable: PostgreSQL or Kafka is away.
            SettingsError: a topic is missing or differs.
        """
        await migrate(self.settings.database_url, package=self.package, schema=self.database.schema)
        await check_topics(self.kafka, topics)

    def worker(
        self,
        topic: Topic,
        open_handler: OpenHandler,
        *,
        reader: Reader | None = None,
        together: WriteTogether | None = None,
    ) -> Worker:
        """Make the worker that takes this process's share of a topic.

        Args:
            topic: the topic.
            open_handler: makes the handler of a partition that was just taken.
            reader: a second worker's own; two cannot share one.
            together: writes batches of several partitions, where the handlers' can be.
        """
        leases = Leases(
            self.database,
            topic=topic.name,
            partitions=topic.partitions,
            owner=self.settings.worker_id,
            lease=self.settings.lease_seconds,
        )
        return Worker(
            topic=topic.name,
            reader=reader or self.reader,
            producer=self.producer,
            database=self.database,
            leases=leases,
            open_handler=open_handler,
            clock=self.clock,
            opener=self.opener,
            together=together,
        )


def opener_of(settings: ServiceSettings) -> Opener | None:
    """Give what opens the records of a service that reads the river."""
    return Opener(JourneyKeys.of(settings)) if isinstance(settings, RiverSettings) else None


@asynccontextmanager
async def plant(settings: ServiceSettings, *, package: str, schema: str) -> AsyncGenerator[Plant]:
    """Open the parts of a consuming service; none of them needs its server to be there yet."""
    kafka = kafka_of(settings)
    async with AsyncExitStack() as stack:
        yield Plant(
            settings=settings,
            package=package,
            database=await stack.enter_async_context(Database.of(settings, schema)),
            kafka=kafka,
            producer=await stack.enter_async_context(GroupProducer(kafka)),
            reader=await stack.enter_async_context(PartitionReader(kafka)),
            clock=SystemClock(),
            opener=opener_of(settings),
        )
