"""What stage-engine is told from outside, and that it can be put together with it."""

from __future__ import annotations

import base64

import pytest

from clm_common.errors import DefinitionError, SettingsError
from clm_common.settings import load
from clm_stage_engine.app import build
from clm_stage_engine.settings import Settings


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLM_DATABASE_URL", "postgresql://clm@127.0.0.1/clm")
    monkeypatch.setenv("CLM_KAFKA_BOOTSTRAP", "127.0.0.1:9092")


async def test_a_development_machine_needs_nothing_more() -> None:
    settings = load(Settings)

    assert settings.longest_history == 25
    async with build(settings) as service:
        assert set(service.tasks) == {
            "worker", "lifecycles", "diffs", "answers", "receipts", "live", "webhooks",
            "housekeeping",
        }  # fmt: skip


def test_the_history_is_kept_as_long_as_the_workspace_that_wants_it_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLM_HISTORY_MONTHS_OF", '{"acme": 37, "short": 3}')

    assert load(Settings).longest_history == 37


@pytest.mark.parametrize("value", ["acme", "[3]", '{"acme": 0}', '{"acme": "long"}'])
def test_what_is_no_number_of_months_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("CLM_HISTORY_MONTHS_OF", value)

    with pytest.raises(SettingsError, match="CLM_HISTORY_MONTHS_OF"):
        load(Settings)


def test_production_refuses_webhooks_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLM_ENV", "production")
    monkeypatch.setenv("CLM_JWKS_URL", "https://login.example.com/jwks.json")
    load(Settings)
    monkeypatch.setenv("CLM_WEBHOOKS_HTTP", "true")

    with pytest.raises(SettingsError, match="CLM_WEBHOOKS_HTTP"):
        load(Settings)


def test_of_several_lifecycles_the_first_is_the_main_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLM_LIFECYCLE", "saas, reach,ecommerce,saas")

    settings = load(Settings)

    assert settings.main_lifecycle == "saas"
    assert settings.further_lifecycles == ["reach", "ecommerce"]


async def test_a_lifecycle_that_there_is_not_refuses_to_start_beside_the_main_one_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLM_LIFECYCLE", "reach,saass")

    with pytest.raises(DefinitionError, match="CLM_LIFECYCLE=saass"):
        async with build(load(Settings)):
            pass


@pytest.mark.parametrize("key", [None, "c2hvcnQ=", "no base64!", "A" * 44 + ",c2hvcnQ="])
def test_a_river_is_not_sealed_without_a_key_of_32_bytes(
    monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    monkeypatch.setenv("CLM_JOURNEY_SEALED", "true")
    if key is not None:
        monkeypatch.setenv("CLM_JOURNEY_KEY", key)

    with pytest.raises(
        SettingsError, match=r"CLM_JOURNEY_KEY.*32 random bytes in base64"
    ) as raised:
        load(Settings)

    assert key is None or key not in str(raised.value)


def test_a_new_key_stands_in_front_of_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (base64.b64encode(bytes([it]) * 32).decode() for it in (1, 2))
    monkeypatch.setenv("CLM_JOURNEY_SEALED", "true")
    monkeypatch.setenv("CLM_JOURNEY_KEY", f"{new}, {old}")

    assert load(Settings).journey_keys == (b"\2" * 32, b"\1" * 32)
