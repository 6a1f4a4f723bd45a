"""docker-compose.yml tells every service what it needs in production, and holds no secret."""

from __future__ import annotations

import importlib
import os
import re
from pathlib import Path
from typing import Any, Final, get_args

import pytest
import yaml
from pydantic import SecretStr

from clm_common.errors import SettingsError
from clm_common.settings import ServiceSettings, load

Json = dict[str, Any]  # Any: a part of the file

FILE: Final[Json] = yaml.safe_load(
    (Path(__file__).parents[3] / "docker-compose.yml").read_text("utf-8")
)
SERVICES: Final = ("ingest", "stage-engine", "metrics", "engagement")
VARIABLE: Final = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")

GIVEN: Final = {
    "CLM_ENV": "production",
    "POSTGRES_PASSWORD": "p" * 32,
    "CLM_TOKEN_KEYS": '{"keys": []}',
    "CLM_SIGNING_KEY": "s" * 32,
    "CLM_ADDRESS_KEY": "a" * 32,
    "CLM_MAIL_FROM": "Shop <shop@example.org>",
    "CLM_PUBLIC_URL": "https://mail.example.org",
}
"""What the head of the file asks for, and what production asks for besides."""


def told(service: str, given: dict[str, str]) -> dict[str, str]:
    """Give the environment that Compose gives a service.

    Raises:
        KeyError: a variable that must be given is not.
    """

    def value(match: re.Match[str]) -> str:
        name, sign, text = match.groups()
        if sign == "-":
            return given.get(name) or text
        return given[name]

    environment: Json = FILE["services"][service]["environment"]
    return {name: VARIABLE.sub(value, str(it)) for name, it in environment.items()}


def settings_of(service: str) -> type[ServiceSettings]:
    module = importlib.import_module(f"clm_{service.replace('-', '_')}.settings")
    cls: type[ServiceSettings] = module.Settings
    return cls


def loaded(
    service: str, given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Any:  # Any: the settings of one of them
    for name in [it for it in os.environ if it.startswith("CLM_")]:
        monkeypatch.delenv(name)
    for name, value in told(service, given).items():
        monkeypatch.setenv(name, value)
    return load(settings_of(service))


def secrets_of(service: str) -> set[str]:
    """Give the variables of a service that hold a secret."""
    fields = settings_of(service).model_fields.items()
    return {
        f"CLM_{name.upper()}"
        for name, it in fields
        if it.annotation is SecretStr or SecretStr in get_args(it.annotation)
    }


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_starts_in_production_with_what_it_is_told(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert loaded(service, GIVEN, monkeypatch).env == "production"


@pytest.mark.parametrize("service", SERVICES)
def test_it_is_told_nothing_that_it_does_not_know(service: str) -> None:
    # CLM_LIFECYCLE is told to all of them, and ingest has no use for it
    known = {f"CLM_{name.upper()}" for name in settings_of(service).model_fields}

    assert told(service, GIVEN).keys() - known <= {"CLM_LIFECYCLE"}


@pytest.mark.parametrize("service", SERVICES)
def test_no_secret_stands_in_the_file(service: str) -> None:
    environment = FILE["services"][service]["environment"]

    for name in secrets_of(service) & environment.keys() - {"CLM_SMTP_URL"}:
        (found,) = VARIABLE.findall(environment[name])
        asked, sign, default = found
        assert asked in {name, "POSTGRES_PASSWORD"}
        assert sign == "?" or not default, name


@pytest.mark.parametrize(
    ("service", "name"),
    [(it, "POSTGRES_PASSWORD") for it in SERVICES]
    + [(it, "CLM_TOKEN_KEYS") for it in SERVICES]
    + [("engagement", "CLM_SIGNING_KEY"), ("engagement", "CLM_ADDRESS_KEY")],
)
def test_what_is_required_is_asked_for(service: str, name: str) -> None:
    with pytest.raises(KeyError, match=name):
        told(service, {key: value for key, value in GIVEN.items() if key != name})


def test_the_river_is_sealed_where_the_environment_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = GIVEN | {"CLM_JOURNEY_SEALED": "true"}

    assert loaded("stage-engine", GIVEN, monkeypatch).journey_sealed is False
    with pytest.raises(SettingsError, match="CLM_JOURNEY_KEY"):
        loaded("stage-engine", given, monkeypatch)
    sealing = loaded("stage-engine", given | {"CLM_JOURNEY_KEY": "A" * 43 + "="}, monkeypatch)
    assert (sealing.journey_sealed, sealing.journey_keys) == (True, (bytes(32),))


@pytest.mark.parametrize("service", ["metrics", "engagement"])
def test_subscribers_know_where_keys_are_and_get_the_token_as_a_file(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = loaded(service, GIVEN, monkeypatch)

    (secret,) = FILE["services"][service]["secrets"]
    assert settings.journey_keys_url == "http://stage-engine:8080"
    assert str(settings.journey_keys_token) == f"/run/secrets/{secret}"
    assert FILE["secrets"][secret]["file"] == "${CLM_JOURNEY_KEYS_TOKEN:-/dev/null}"
