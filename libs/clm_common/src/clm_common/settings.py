"""What every service is told from outside: `CLM_*` environment variables, read once at the start.

A service subclasses `ServiceSettings` in its own `settings.py`; `load` reads it or says, for each
variable, what is wrong and how to mend it. Secrets are `SecretStr` and never reach a log or an
error's text.
"""

from __future__ import annotations

import difflib
import importlib
import os
import pkgutil
import re
import secrets
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, Self, TypeVar, cast
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict
from pydantic_settings import SettingsError as Unparsable

from clm_common.errors import SettingsError
from clm_common.settings_text import PREFIX, sentence, variable

Port = Annotated[int, Field(ge=0, le=65535)]

_LOCAL: Final = (
    "CLM_DATA_DIR",
    "CLM_MAVEN_MIRROR",
    "CLM_PG_BINDIR",
)  # read by the `clm` command, not by a service
_TEST_PREFIX: Final = "CLM_TEST_"
_GUESSABLE: Final = frozenset({"postgres", "password", "changeme", "secret", "admin", "clm"})


def _own_id() -> str:
    """Name this process: host, process id and a random part, so that no successor shares it."""
    host = re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname())[:40] or "host"
    return f"{host}-{os.getpid()}-{secrets.token_hex(3)}"


class ServiceSettings(BaseSettings):
    """The settings that every service has.

    A field's `description` says what it is for and `examples` what it may look like: both appear
    in the error for a wrong value and in the generated reference.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True
    )

    env: Literal["development", "production"] = Field(
        default="development",
        description="where it runs; production refuses what is insecure",
        examples=["production"],
    )
    database_url: SecretStr = Field(
        description="where PostgreSQL 17 or newer is",
        examples=["postgresql://clm:…@127.0.0.1:5432/clm"],
    )
    kafka_bootstrap: str = Field(
        description="the Kafka brokers to begin with, separated by commas",
        examples=["127.0.0.1:9092"],
        pattern=r"^[^\s,:]+:\d+(,[^\s,:]+:\d+)*$",
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT", description="how to talk to Kafka", examples=["SASL_SSL"]
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        default="SCRAM-SHA-512", description="how to log in to Kafka", examples=["SCRAM-SHA-512"]
    )
    kafka_sasl_username: str | None = Field(
        default=None, description="who logs in to Kafka", examples=["clm"]
    )
    kafka_sasl_password: SecretStr | None = Field(
        default=None, description="the password for Kafka", examples=["…"]
    )
    kafka_ssl_cafile: Path | None = Field(
        default=None,
        description="the certificate authority that signed Kafka's certificate",
        examples=["/etc/clm/kafka-ca.pem"],
    )
    http_host: str = Field(
        default="127.0.0.1",
        description="the address to listen on",
        examples=["0.0.0.0"],  # noqa: S104
    )
    http_port: Port = Field(
        default=8080, description="the port to listen on; 0 picks a free one", examples=["8080"]
    )
    ops_port: Port | None = Field(
        default=None,
        description="a port of their own for /health, /ready and /metrics",
        examples=["9090"],
    )
    token_keys: str | None = Field(
        default=None,
        description="the public keys that sign bearer tokens: a JWKS as JSON, or a file's path",
        examples=["/etc/clm/tokens.jwks.json"],
    )
    jwks_url: str | None = Field(
        default=None,
        description="where the company's identity provider publishes its public keys",
        examples=["https://login.example.com/.well-known/jwks.json"],
        pattern=r"^https?://\S+$",
    )
    token_issuer: str | None = Field(
        default=None,
        description="the only issuer (`iss`) whose tokens are taken",
        examples=["https://login.example.com/"],
    )
    token_audience: str | None = Field(
        default=None, description="the audience (`aud`) a token must be for", examples=["clm"]
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="how log lines look", examples=["console"]
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least important level to log", examples=["info"]
    )
    lease_seconds: float = Field(
        default=4.0,
        ge=1,
        le=60,
        description="how long a silent worker keeps its partitions",
        examples=["4"],
    )
    worker_id: str = Field(
        default_factory=_own_id,
        pattern=r"^[A-Za-z0-9_.-]{1,63}$",
        description="names this process; leave it out: it must differ at every start",
        examples=["host-4711-a1b2c3"],
    )
    drain_seconds: float = Field(
        default=0.0,
        ge=0,
        le=300,
        description="how long requests are still taken after /ready turned false at the end",
        examples=["5"],
    )
    stop_seconds: float = Field(
        default=20.0,
        gt=0,
        le=300,
        description="how long requests and tasks may take to finish at the end",
        examples=["20"],
    )

    @field_validator("database_url")
    @classmethod
    def _is_postgresql(cls, value: SecretStr) -> SecretStr:
        if urlsplit(value.get_secret_value()).scheme not in {"postgresql", "postgres"}:
            raise PydanticCustomError("url", "must begin with postgresql://")
        return value

    @model_validator(mode="after")
    def _sasl_is_complete(self) -> Self:
        login = self.kafka_sasl_username and self.kafka_sasl_password
        if self.kafka_security_protocol.startswith("SASL") and not login:
            raise PydanticCustomError(
                "sasl",
                "CLM_KAFKA_SECURITY_PROTOCOL={protocol} needs CLM_KAFKA_SASL_USERNAME and "
                "CLM_KAFKA_SASL_PASSWORD",
                {"protocol": self.kafka_security_protocol},
            )
        return self

    @model_validator(mode="after")
    def _production_is_secure(self) -> Self:
        if self.env == "production" and (faults := list(self._insecure())):
            raise PydanticCustomError(
                "production",
                "CLM_ENV=production refuses: {faults}",
                {"faults": "; ".join(faults)},
            )
        return self

    def _insecure(self) -> Iterator[str]:
        if not (self.token_keys or self.jwks_url):
            yield "no keys for bearer tokens; set CLM_TOKEN_KEYS or CLM_JWKS_URL"
        if self.jwks_url and not self.jwks_url.startswith("https://"):
            yield "CLM_JWKS_URL without TLS; use https://"
        if urlsplit(self.database_url.get_secret_value()).password in _GUESSABLE:
            yield "a guessable password in CLM_DATABASE_URL; choose a random one"
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if isinstance(value, SecretStr) and value == field.default:
                yield f"the default of {variable(name)}; set a secret of your own"


S = TypeVar("S", bound=ServiceSettings)


def load(cls: type[S]) -> S:
    """Read the settings out of the environment.

    Raises:
        SettingsError: something is missing or wrong; its text has a line for each variable that
            names it, what is wrong and an example. Values of secrets are never shown.
    """
    from_environment = cast("Callable[[], S]", cls)  # variables stand in for the arguments
    try:
        return from_environment()
    except ValidationError as error:
        problems = error.errors(include_url=False)
        lines = [sentence(cls.model_fields, problem) for problem in problems]
        names = [str(problem["loc"][0]) for problem in problems if problem["loc"]]
        raise SettingsError(
            "settings.wrong", "\n".join(lines), variables=[variable(name) for name in names]
        ) from None  # the cause would show secrets
    except Unparsable as error:
        raise _not_json(cls, error) from None  # as above


def _not_json(cls: type[ServiceSettings], error: Unparsable) -> SettingsError:
    """Say which variable should hold JSON and does not."""
    named = [name for name in cls.model_fields if f'"{name}"' in str(error)]
    wrong = ", ".join(variable(name) for name in named) or str(error)
    return SettingsError("settings.wrong", f"{wrong}: must be JSON", variables=[wrong])


def unknown_variables(cls: type[ServiceSettings]) -> dict[str, str | None]:
    """Give the `CLM_*` variables that no installed service knows, each with the likely meaning.

    Several services share an environment, so this is worth a warning, never a refusal.
    """
    own = {variable(name) for name in cls.model_fields}
    strange = [name for name in os.environ if _looks_ours(name) and name not in own]
    if not strange:
        return {}
    known = own | {variable(name) for other in _siblings() for name in other.model_fields}
    return {
        name: next(iter(difflib.get_close_matches(name, known, 1)), None)
        for name in sorted(strange)
        if name not in known
    }


def _looks_ours(name: str) -> bool:
    return name.startswith(PREFIX) and not name.startswith(_TEST_PREFIX) and name not in _LOCAL


def _siblings() -> Iterable[type[ServiceSettings]]:
    """Find the settings of every installed service: by convention `clm_<name>.settings`."""
    for module in pkgutil.iter_modules():
        if module.name.startswith("clm_") and module.name != __package__:
            try:
                importlib.import_module(f"{module.name}.settings")
            except ImportError:
                continue
    return _descendants(ServiceSettings)


def _descendants(cls: type[ServiceSettings]) -> Iterator[type[ServiceSettings]]:
    for child in cls.__subclasses__():
        yield child
        yield from _descendants(child)
