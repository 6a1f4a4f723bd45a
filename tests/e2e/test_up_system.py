"""`clm up`, `status`, `down` and their like, on the whole real system."""

from __future__ import annotations

import socket
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from clm_local.ports import HOST
from clm_local.state import Phase
from tests.support.installation import Installation, eventually, installation
from tests.support.servers import local_paths

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SERVICES = ("ingest", "stage-engine", "metrics", "engagement")


@pytest.fixture(scope="module")
def own(server_home: Path) -> Generator[Installation]:
    """Give the system that the tests of this module share; each brings it up as it needs it.

    They stand in an order in which few find it down: to bring it up takes 15 s of CPU.
    """
    with installation(server_home / "up", local_paths().downloads) as made:
        yield made


def test_one_command_brings_up_everything_and_says_how_to_use_it(own: Installation) -> None:
    shown = own.clm("up")

    status = own.status()
    assert status["write_key"] in shown
    for name in SERVICES:
        assert status["services"][name]["url"] in shown
    assert status["mail"]["url"] in shown


def test_the_status_is_one_object_of_a_fixed_form(own: Installation) -> None:
    own.clm("up")

    status = own.status()

    assert set(status) == {
        "ready",
        "data_dir",
        "workspace",
        "write_key",
        "token",
        "kafka",
        "postgres",
        "mail",
        "services",
    }
    assert set(status["kafka"]) == {"bootstrap", "pid"}
    assert set(status["postgres"]) == {"url", "pid"}
    assert set(status["mail"]) == {"smtp", "url"}
    assert tuple(status["services"]) == SERVICES
    assert all(set(it) == {"url", "pid", "ready"} for it in status["services"].values())


def test_a_first_event_becomes_a_profile(own: Installation) -> None:
    own.clm("up")
    status = own.status()
    order = {"userId": "ada", "event": "Order Completed", "properties": {"revenue": 25}}

    answer = httpx.post(f"{own.url('ingest')}/v1/track", json=order, auth=(status["write_key"], ""))

    assert answer.status_code == 200
    token = own.clm("token", "create", "--scope", "profiles:read").strip()

    def converted() -> bool:
        found = httpx.get(
            f"{own.url('stage-engine')}/v1/profiles",
            params={"user_id": "ada"},
            headers={"Authorization": f"Bearer {token}"},
        ).json()["profiles"]
        return [it["stage"] for it in found] == ["conversion"]

    eventually(converted, 30)


def test_bringing_it_up_again_changes_nothing(own: Installation) -> None:
    own.clm("up")
    before = own.status()

    shown = own.clm("up")

    assert "runs already" in shown
    assert own.status() == before


def test_a_killed_service_is_started_again_within_five_seconds(own: Installation) -> None:
    own.clm("up")

    killed = own.kill("metrics")

    def is_back() -> bool:
        process = own.run.children["metrics"].process
        return process is not None and process.pid != killed and process.alive

    assert eventually(is_back, 30) < 5
    eventually(lambda: bool(own.status(code=None)["ready"]), 60)
    assert "1 times" in own.clm("status")


@pytest.mark.parametrize("server", ["postgres", "kafka"])
def test_the_system_recovers_by_itself_from_the_loss_of_a_server(
    own: Installation, server: str
) -> None:
    own.clm("up")
    services = {name: it["pid"] for name, it in own.status()["services"].items()}

    own.kill(server)

    eventually(lambda: own.run.children[server].phase is not Phase.READY, 10)
    eventually(lambda: bool(own.status(code=None)["ready"]), 90)
    assert services == {name: it["pid"] for name, it in own.status()["services"].items()}


def test_nothing_outlives_a_killed_supervisor_and_all_comes_back(own: Installation) -> None:
    own.clm("up")
    before = own.status()

    own.kill("supervisor")

    eventually(lambda: not own.left(), 20)
    assert own.status(code=1)["ready"] is False
    own.clm("up")
    after = own.status()
    for kept in ("write_key", "token", "mail"):
        assert after[kept] == before[kept]


def test_down_ends_what_a_killed_supervisor_left_and_leaves_nothing(own: Installation) -> None:
    own.clm("up")
    own.kill("supervisor")

    shown = own.clm("down")

    assert "nothing is left" in shown
    assert own.left() == []


def test_a_port_in_use_is_replaced_and_reported(own: Installation) -> None:
    own.clm("down")
    wanted = own.workspace.ports["ingest"]
    with socket.socket() as intruder:
        intruder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        intruder.bind((HOST, wanted))
        intruder.listen()

        shown = own.clm("up")

    assert f"Port {wanted} is in use: ingest is on {own.workspace.ports['ingest']}" in shown
    assert own.workspace.ports["ingest"] != wanted
    assert httpx.get(f"{own.url('ingest')}/ready").status_code == 200


def test_all_comes_back_after_everything_was_killed(own: Installation) -> None:
    own.clm("up")
    for name in ("supervisor", *own.run.children):
        own.kill(name)

    own.clm("up")

    assert own.status()["ready"] is True


def test_the_doctor_finds_nothing_to_mend_in_a_running_system(own: Installation) -> None:
    own.clm("up")

    shown = own.clm("doctor")

    assert "Nothing needs mending" in shown
    assert "The topics are as they must be" in shown


def test_the_doctor_finds_a_secret_that_others_can_read(own: Installation) -> None:
    own.clm("up")
    secret = own.paths.data / "workspace.json"
    secret.chmod(0o644)

    shown = own.clm("doctor", code=1)
    secret.chmod(0o600)

    assert f"chmod 600 {secret}" in shown


def test_sources_are_made_rotated_and_disabled(own: Installation) -> None:
    own.clm("up")

    made = own.clm("source", "create", "Shop")
    rotated = own.clm("source", "rotate", "Shop")
    own.clm("source", "disable", "Shop", "--yes")

    keys = [line.split()[-1] for line in (made + rotated).splitlines() if "write key" in line]
    assert len({key for key in keys if key.startswith("wk_")}) == 2
    assert "disabled" in own.clm("source", "list")


def test_rotating_the_first_source_keeps_the_status_true(own: Installation) -> None:
    own.clm("up")
    before = own.status()["write_key"]

    own.clm("source", "rotate", "Local website")

    after = own.status()["write_key"]
    event = {"userId": "grace", "event": "Product Viewed"}
    answer = httpx.post(f"{own.url('ingest')}/v1/track", json=event, auth=(after, ""))
    assert after != before
    assert answer.status_code == 200


def test_every_process_has_a_log(own: Installation) -> None:
    own.clm("up")

    for name in (*SERVICES, "kafka", "postgres", "mail", "supervisor"):
        own.clm("logs", name, "-n", "5")

    assert "partition.taken" in own.clm("logs", "stage-engine", "-n", "500")


def test_down_stops_everything(own: Installation) -> None:
    own.clm("up")

    shown = own.clm("down")

    assert "nothing is left" in shown
    assert own.left() == []
    assert own.status(code=1)["services"]["ingest"]["pid"] is None
    assert "Nothing was running" in own.clm("down")


def test_a_wrong_setting_is_named_when_the_system_cannot_start(own: Installation) -> None:
    own.clm("down")

    shown = own.clm("up", env={"CLM_LIVE_WINDOW": "soon"}, code=1)
    status = own.clm("status", code=1)
    own.clm("down")

    assert "engagement cannot start (exit code 78)" in shown
    assert "CLM_LIVE_WINDOW=soon" in shown
    assert "crash loop" in status


def test_reset_asks_first_and_removes_all_but_the_downloads(own: Installation) -> None:
    own.clm("up")
    key = own.status()["write_key"]

    refused = own.clm("reset", code=1)
    kept = own.status()["write_key"]
    own.clm("reset", "--yes")

    assert "Nothing was done" in refused
    assert kept == key
    assert [it.name for it in own.paths.data.iterdir()] == ["downloads"]
    assert own.left() == []
