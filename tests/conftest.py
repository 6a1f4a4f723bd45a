"""What every test may ask for: the real servers; and how properties are run."""

from __future__ import annotations

from hypothesis import settings

from tests.support.servers import (
    database_server,
    database_url,
    kafka_bootstrap,
    kafka_node,
    postgres_node,
    server_home,
)

settings.register_profile("clm", deadline=None)  # a busy machine is no failure
settings.load_profile("clm")

__all__ = [
    "database_server",
    "database_url",
    "kafka_bootstrap",
    "kafka_node",
    "postgres_node",
    "server_home",
]
