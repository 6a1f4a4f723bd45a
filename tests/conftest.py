"""What every test may ask for: the real servers; and how properties are run."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from tests.support.servers import (
    database_server,
    database_url,
    kafka_bootstrap,
    kafka_node,
    postgres_node,
    server_home,
)

settings.register_profile(  # a busy machine is no failure
    "clm", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("clm")

REAL: Final = frozenset({"chaos", "component", "e2e", "integration"})
"""Folders whose tests depend on processes that share a busy machine."""

HERE: Final = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a test that failed on real servers two more tries, six in the whole run.

    The summary names it (RERUN) with its failure: that is a defect to mend, of the test or of what
    it tests. Pure tests have one try.
    """
    for item in items:
        if item.path.relative_to(HERE).parts[0] in REAL:
            item.add_marker(pytest.mark.flaky(reruns=2))


__all__ = [
    "database_server",
    "database_url",
    "kafka_bootstrap",
    "kafka_node",
    "postgres_node",
    "server_home",
]
