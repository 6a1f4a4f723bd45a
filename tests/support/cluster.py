"""Three brokers as one cluster, each of which may be killed: what production runs on, in small."""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from clm_local import child, kafka, paths
from clm_local.child import Child
from clm_local.ports import HOST, free_ports
from tests.support.servers import Node, kafka_software

NODES: Final = 3
CLUSTER_ID: Final = "tests-three-brokers-00"  # 22 characters, as Kafka wants them
SETTINGS: Final = {
    "default.replication.factor": NODES,
    "min.insync.replicas": NODES - 1,
    "offsets.topic.replication.factor": NODES,
    "transaction.state.log.replication.factor": NODES,
    "transaction.state.log.min.isr": NODES - 1,
    "broker.session.timeout.ms": 6000,
    "controller.quorum.election.timeout.ms": 1000,
    "controller.quorum.fetch.timeout.ms": 2000,
}


class Member(Node):
    """One broker of the cluster, which is a controller, too."""

    def __init__(self, home: Path, number: int, port: int, controllers: tuple[int, ...]) -> None:
        super().__init__(home)
        self.number = number
        self.port = port
        self._controllers = controllers

    async def describe(self) -> Child:
        """Format the directory when it is new, and describe the process."""
        software, log = kafka_software(), self.home / "kafka.log"
        properties = self.home / "server.properties"
        kafka.tidy(software.scratch)
        (self.home / "log4j2.properties").write_text(kafka.LOGGING)
        properties.write_text(self._properties())
        environment = child.plain_environment(MALLOC_ARENA_MAX="2")
        if not (self.home / "data" / "meta.properties").exists():
            how = ("format", "-t", CLUSTER_ID, "-c", str(properties))
            formatting = software.command(self.home, kafka.FORMATTER, *how)
            await child.run(formatting, env=environment, cwd=self.home)
        return Child(
            name=f"kafka-{self.number}",
            argv=software.command(self.home, kafka.BROKER, str(properties)),
            env=environment,
            cwd=self.home,
            log_path=log,
            ready=lambda: kafka.answers(self.port),
            start_timeout=120,
        )

    def _properties(self) -> str:
        broker = f"PLAINTEXT://{HOST}:{self.port}"
        voters = [f"{number}@{HOST}:{port}" for number, port in enumerate(self._controllers, 1)]
        settings = {
            **kafka.SETTINGS,
            **SETTINGS,
            "node.id": self.number,
            "controller.quorum.voters": ",".join(voters),
            "listeners": f"{broker},CONTROLLER://{HOST}:{self._controllers[self.number - 1]}",
            "advertised.listeners": broker,
            "log.dirs": self.home / "data",
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())


class Cluster:
    """The brokers."""

    def __init__(self, home: Path) -> None:
        ports = free_ports(2 * NODES)
        self.members = [
            Member(
                paths.directory(home / f"{number}"), number, ports[number - 1], (*ports[NODES:],)
            )
            for number in range(1, NODES + 1)
        ]

    @property
    def bootstrap(self) -> str:
        """Where clients find it."""
        return ",".join(f"{HOST}:{member.port}" for member in self.members)


@asynccontextmanager
async def three_brokers(home: Path) -> AsyncGenerator[Cluster]:
    """Run a cluster below a directory; it is gone afterwards."""
    cluster = Cluster(paths.directory(home / "cluster"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home / "cluster", ignore_errors=True)
        for member in cluster.members:
            stack.callback(member.discard)
        for running in [await member.launch() for member in cluster.members]:
            await running.until_ready()
        yield cluster
