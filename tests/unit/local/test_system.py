"""Which processes the local system has, and what they are told."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from clm_local import system, tokens
from clm_local.errors import LocalError
from clm_local.paths import Paths
from clm_local.ports import HOST, free_ports
from clm_local.processes import MARK
from clm_local.sources import Source, choose
from clm_local.state import Workspace
from clm_local.system import Software

EXTERNAL = {
    system.KAFKA_VARIABLE: "kafka.example.com:9092",
    system.DATABASE_VARIABLE: "postgresql://clm:x@db.example.com/clm",
}


def some_ports() -> dict[str, int]:
    return dict(zip(system.PORTS, free_ports(len(system.PORTS)), strict=True))


def test_ports_of_the_last_start_are_kept() -> None:
    kept = some_ports()

    assert system.choose_ports(kept) == kept


def test_a_port_in_use_is_replaced_by_one_that_nothing_else_has() -> None:
    kept = some_ports()
    with socket.socket() as intruder:
        intruder.bind((HOST, kept["metrics"]))
        intruder.listen()

        chosen = system.choose_ports(kept)

    assert chosen["metrics"] != kept["metrics"]
    assert len(set(chosen.values())) == len(chosen)
    assert system.moved(kept, chosen) == {"metrics": (kept["metrics"], chosen["metrics"])}


async def told(tmp_path: Path, **more: str) -> dict[str, dict[str, str]]:
    """Give the environment of each service where both servers are external."""
    workspace, nothing = Workspace(ports=some_ports()), Software(None, None)
    made = await system.prepare(Paths(tmp_path).prepare(), workspace, nothing, EXTERNAL | more)
    assert [it.name for it in made.servers] == ["mail"]
    return {it.name: dict(it.env) for it in made.services}


async def test_servers_that_the_environment_names_are_used_and_not_started(tmp_path: Path) -> None:
    environments = await told(tmp_path)

    for it in environments.values():
        assert {name: it[name] for name in EXTERNAL} == EXTERNAL


async def test_every_service_listens_on_a_port_of_its_own(tmp_path: Path) -> None:
    environments = await told(tmp_path, CLM_HTTP_PORT="1", CLM_WORKER_ID="same")

    ports = {it["CLM_HTTP_PORT"] for it in environments.values()}
    assert len(ports) == len(system.SERVICES)
    assert "1" not in ports
    assert not any("CLM_WORKER_ID" in it for it in environments.values())


async def test_settings_of_the_environment_reach_the_services(tmp_path: Path) -> None:
    environments = await told(tmp_path, CLM_LIVE_WINDOW="10d", CLM_MAIL_FROM="Shop <a@b.example>")

    assert environments["engagement"]["CLM_LIVE_WINDOW"] == "10d"
    assert environments["engagement"]["CLM_MAIL_FROM"] == "Shop <a@b.example>"


async def test_services_get_the_public_key_alone(tmp_path: Path) -> None:
    environments = await told(tmp_path)

    private = tokens.private_key(Paths(tmp_path))
    for it in environments.values():
        assert it["CLM_TOKEN_KEYS"] == str(tokens.public_keys(Paths(tmp_path)))
        assert str(private) not in it.values()


async def test_every_process_carries_the_mark_of_its_data_directory(tmp_path: Path) -> None:
    environments = await told(tmp_path)

    assert {it[MARK] for it in environments.values()} == {str(tmp_path)}


def source(name: str, key: str) -> Source:
    return Source(key, name, "1234", datetime(2026, 11, 22, tzinfo=UTC))


def test_a_source_is_found_by_its_name_or_the_beginning_of_its_id() -> None:
    shop, site = source("Shop", "11aa"), source("Site", "22bb")

    assert choose([shop, site], "Shop") is shop
    assert choose([shop, site], "22") is site


def test_an_unknown_source_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(LocalError, match="'Shop'"):
        choose([source("Shop", "11aa")], "Sjop")


def test_a_beginning_that_fits_several_sources_is_refused() -> None:
    with pytest.raises(LocalError, match="Several sources"):
        choose([source("Shop", "11aa"), source("Site", "11bb")], "11")
