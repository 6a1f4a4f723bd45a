"""Settings: read from the environment, or refused with the variable's name and the fix."""

from __future__ import annotations

import os

import pytest
from pydantic import Field, SecretStr

from clm_common.errors import SettingsError
from clm_common.settings import ServiceSettings, load, unknown_variables

GOOD = {
    "CLM_DATABASE_URL": "postgresql://clm:sesame@127.0.0.1:5432/clm",
    "CLM_KAFKA_BOOTSTRAP": "127.0.0.1:9092",
}


class MailSettings(ServiceSettings):
    """A service's settings, with a secret whose default only a laptop may keep."""

    signing_key: SecretStr = Field(
        default=SecretStr("for-development"), description="signs links", examples=["…"]
    )


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Give an environment in which only what is necessary is set."""
    for name in list(os.environ):
        if name.startswith("CLM_"):
            monkeypatch.delenv(name)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def refusal(cls: type[ServiceSettings] = ServiceSettings) -> str:
    with pytest.raises(SettingsError) as caught:
        load(cls)
    return str(caught.value)


def test_what_is_necessary_is_enough() -> None:
    settings = load(ServiceSettings)

    assert settings.kafka_bootstrap == "127.0.0.1:9092"
    assert (settings.http_port, settings.lease_seconds) == (8080, 4.0)


def test_every_wrong_variable_is_named_with_its_fix(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CLM_HTTP_PORT", "abc")
    environment.setenv("CLM_OPS_PORT", "70000")
    environment.setenv("CLM_ENV", "prod")
    environment.setenv("CLM_LEASE_SECONDS", "0")

    assert refusal().splitlines() == [
        "CLM_ENV=prod: must be 'development' or 'production'; for example CLM_ENV=production",
        "CLM_HTTP_PORT=abc: must be a whole number from 0 to 65535; for example CLM_HTTP_PORT=8080",
        "CLM_OPS_PORT=70000: must be a whole number from 0 to 65535; for example CLM_OPS_PORT=9090",
        "CLM_LEASE_SECONDS=0: must be a number from 1 to 60; for example CLM_LEASE_SECONDS=4",
    ]


def test_a_missing_variable_says_what_it_is_for(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("CLM_DATABASE_URL")

    assert refusal().startswith("CLM_DATABASE_URL is not set: where PostgreSQL 17 or newer is;")


def test_an_empty_variable_counts_as_missing(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CLM_KAFKA_BOOTSTRAP", "")

    assert "CLM_KAFKA_BOOTSTRAP is not set" in refusal()


@pytest.mark.parametrize("name", ["CLM_DATABASE_URL", "CLM_KAFKA_SASL_PASSWORD"])
def test_a_secret_is_never_shown(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.setenv(name, "mysql://clm:hunter2@host/clm")
    environment.setenv("CLM_HTTP_PORT", "abc")

    assert "hunter2" not in refusal()


def test_secrets_stay_out_of_a_printed_settings_object() -> None:
    assert "sesame" not in repr(load(ServiceSettings))


def test_a_login_to_kafka_needs_both_name_and_password(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CLM_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    environment.setenv("CLM_KAFKA_SASL_USERNAME", "clm")

    assert "needs CLM_KAFKA_SASL_USERNAME and CLM_KAFKA_SASL_PASSWORD" in refusal()


def test_production_refuses_an_open_door(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CLM_ENV", "production")
    environment.setenv("CLM_DATABASE_URL", "postgresql://clm:postgres@127.0.0.1/clm")

    text = refusal(MailSettings)

    assert "set CLM_TOKEN_KEYS or CLM_JWKS_URL" in text
    assert "a guessable password in CLM_DATABASE_URL" in text
    assert "the default of CLM_SIGNING_KEY" in text


def test_production_refuses_keys_fetched_without_tls(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CLM_ENV", "production")
    environment.setenv("CLM_JWKS_URL", "http://login.example.com/jwks.json")

    assert "CLM_JWKS_URL without TLS" in refusal()


def test_production_starts_when_its_doors_are_locked(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CLM_ENV", "production")
    environment.setenv("CLM_TOKEN_KEYS", "/etc/clm/jwks.json")
    environment.setenv("CLM_SIGNING_KEY", "of-our-own")

    assert load(MailSettings).env == "production"


def test_development_keeps_the_defaults() -> None:
    assert load(MailSettings).signing_key.get_secret_value() == "for-development"


def test_a_misspelt_variable_is_noticed(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("CLM_HTPP_PORT", "8080")

    assert unknown_variables(ServiceSettings) == {"CLM_HTPP_PORT": "CLM_HTTP_PORT"}


def test_what_another_service_or_a_test_reads_is_no_mistake(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("CLM_SIGNING_KEY", "mail's")
    environment.setenv("CLM_TEST_KAFKA", "127.0.0.1:1")
    environment.setenv("CLM_DATA_DIR", "/var/lib/clm")

    assert unknown_variables(ServiceSettings) == {}


def test_each_process_has_a_name_of_its_own() -> None:
    first, second = load(ServiceSettings), load(ServiceSettings)

    assert first.worker_id != second.worker_id


@pytest.mark.parametrize("name", ["a b", "x" * 64, "wörker"])
def test_a_name_that_postgresql_would_change_is_refused(
    environment: pytest.MonkeyPatch, name: str
) -> None:
    environment.setenv("CLM_WORKER_ID", name)

    assert f"CLM_WORKER_ID={name}: cannot be right" in refusal()


class Listing(ServiceSettings):
    regions: list[str] = Field(default=[], description="where we are", examples=['["eu"]'])


def test_a_list_that_is_no_json_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLM_DATABASE_URL", "postgresql://clm:long-secret@127.0.0.1/clm")
    monkeypatch.setenv("CLM_KAFKA_BOOTSTRAP", "127.0.0.1:9092")
    monkeypatch.setenv("CLM_REGIONS", "eu, us")

    with pytest.raises(SettingsError, match="CLM_REGIONS: must be JSON"):
        load(Listing)
