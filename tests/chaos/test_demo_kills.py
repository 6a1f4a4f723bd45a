"""`clm demo` while every process is killed: the numbers stay those of the clickstream."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest

from tests.support.installation import Installation, Json, eventually, installation
from tests.support.servers import local_paths

pytestmark = [pytest.mark.e2e, pytest.mark.chaos, pytest.mark.timeout(900)]

VICTIMS = ("ingest", "stage-engine", "metrics", "kafka", "engagement", "postgres")
BETWEEN = 1.0


@pytest.fixture
def own(server_home: Path) -> Generator[Installation]:
    with installation(server_home / "kills", local_paths().downloads) as made:
        made.clm("up")
        yield made


def test_killing_every_process_while_the_demo_runs_changes_no_number(own: Installation) -> None:
    demo = own.start("demo", "--json")
    try:
        eventually((own.paths.data / "demo" / "schedule.json").exists, 60)
        for name in VICTIMS:
            time.sleep(BETWEEN)
            own.kill(name)
            assert demo.poll() is None, "the demo was over before every process was killed"
        output, errors = demo.communicate(timeout=600)
    finally:
        demo.kill()
        demo.wait()

    assert demo.returncode == 0, output + errors
    report: Json = msgspec.json.decode(output)
    assert report["recount"]["differences"] == []
    assert report["events"]["landed"] == report["recount"]["truth"]["events"]
    ends = {name: own.run.children[name].ends for name in VICTIMS}
    assert all(count >= 1 for count in ends.values()), ends
