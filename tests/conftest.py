"""What every test may ask for: real servers and databases on them; and how properties run."""

from __future__ import annotations

import signal
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
from tests.support.templates import (
    engagement_template,
    engagement_url,
    engine_template,
    engine_url,
    metrics_template,
    metrics_url,
)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Begun in the background of a shell: what tests start would not mind ctrl-C either.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(  # a busy machine is no failure
    "clm", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("clm")

REAL: Final = frozenset({"chaos", "component", "e2e", "integration"})
"""Folders whose tests depend on processes that share a busy machine."""

HERE: Final = Path(__file__).parent

LONGEST: Final = HERE / "chaos" / "test_engine_kills.py"

ORDER: Final = ("e2e", "chaos", "component", "integration", "contract", "unit")
"""Folders from the longest files to the shortest: side by side, what is long begins first, and what
is short fills the gaps at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests in order, and give one that failed on real servers two more tries, six in all.

    The summary names it (RERUN) with its failure: that is a defect to mend, of the test or of what
    it tests. Pure tests have one try.
    """
    items.sort(key=lambda it: (it.path != LONGEST, ORDER.index(_folder(it))))
    for item in items:
        if _folder(item) in REAL:
            item.add_marker(pytest.mark.flaky(reruns=2))


def _folder(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).parts[0]


__all__ = [
    "database_server",
    "database_url",
    "engagement_template",
    "engagement_url",
    "engine_template",
    "engine_url",
    "kafka_bootstrap",
    "kafka_node",
    "metrics_template",
    "metrics_url",
    "postgres_node",
    "server_home",
]
