"""What stage-engine is told from outside."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_core import PydanticCustomError

from clm_common.contracts.sealing import KEY_BYTES
from clm_common.settings_lifecycle import LifecycleSettings
from clm_common.settings_secrets import SecretsSettings
from clm_stage_engine.core.keeping import ANY_DAYS, Keeping


class Settings(LifecycleSettings, SecretsSettings):
    """The settings of stage-engine."""

    http_port: int = Field(
        default=8081,
        ge=0,
        le=65535,
        description="the port to listen on; 0 picks a free one",
        examples=["8081"],
    )
    lifecycle_dir: Path | None = Field(
        default=None,
        description="a folder of lifecycles of your own, beside those that ship",
        examples=["/etc/clm/lifecycles"],
    )
    identity_file: Path | None = Field(
        default=None,
        description="a file that says which identifiers count, in place of the one that ships",
        examples=["/etc/clm/identity.yaml"],
    )
    cached_profiles: int = Field(
        default=200_000,
        ge=1_000,
        description="how many profiles each owned partition keeps in memory",
        examples=["200000"],
    )
    history_months: int = Field(
        default=25,
        ge=1,
        le=1200,
        description="how many months of history a workspace keeps; 1200 keeps it for ever",
        examples=["25"],
    )
    history_months_of: dict[str, Annotated[int, Field(ge=1, le=1200)]] = Field(
        default_factory=dict[str, int],
        description="workspaces that differ",
        examples=['{"acme": 37}'],
    )

    lateness_days: int = Field(
        default=ANY_DAYS,
        ge=1,
        le=ANY_DAYS,
        description="how many days after it happened a touchpoint may be received and still count; "
        "never more than the history is kept",
        examples=["90"],
    )
    lateness_days_of: dict[str, Annotated[int, Field(ge=1, le=ANY_DAYS)]] = Field(
        default_factory=dict[str, int],
        description="sources that differ, by their ids",
        examples=['{"src_shop": 30}'],
    )

    webhooks_http: bool = Field(
        default=False,
        description="whether outgoing webhooks may go to addresses without TLS (http://)",
        examples=["true"],
    )
    webhooks_private: bool = Field(
        default=False,
        description="whether outgoing webhooks may go to private networks and this machine",
        examples=["true"],
    )

    journey_sealed: bool = Field(
        default=False,
        description="whether the river's values are sealed with a key per person, which an erasure "
        "deletes: for companies that keep topics long",
        examples=["true"],
    )
    journey_key: SecretStr | None = Field(
        default=None,
        description="encrypts people's keys: 32 random bytes in base64 "
        "(`openssl rand -base64 32`); several, separated by commas, newest first, to replace one",
        examples=["…"],
    )

    @field_validator("journey_key")
    @classmethod
    def _is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None  # an empty variable is none: a compose file cannot leave one out
        if any(len(key) != KEY_BYTES for key in _keys_of(value)):
            raise PydanticCustomError("value_error", "each key must be 32 random bytes in base64")
        return value

    @model_validator(mode="after")
    def _has_what_sealing_needs(self) -> Self:
        if self.journey_sealed and self.journey_key is None:
            raise PydanticCustomError(
                "value_error",
                "CLM_JOURNEY_SEALED=true needs CLM_JOURNEY_KEY: 32 random bytes in base64, "
                "for example from `openssl rand -base64 32`",
            )
        return self

    @property
    def journey_keys(self) -> tuple[bytes, ...]:
        """The keys that encrypt people's keys, the newest first; empty where none is set."""
        return () if self.journey_key is None else _keys_of(self.journey_key)

    def _insecure(self) -> Iterator[str]:
        yield from super()._insecure()
        if self.webhooks_http:
            yield "CLM_WEBHOOKS_HTTP; webhooks need https://"

    @property
    def keeping(self) -> Keeping:
        """How long touchpoints are kept, and how late they may come."""
        return Keeping(
            self.history_months, self.history_months_of, self.lateness_days, self.lateness_days_of
        )

    @property
    def longest_history(self) -> int:
        """The months that the workspace with the longest history keeps."""
        return self.keeping.longest


def _keys_of(value: SecretStr) -> tuple[bytes, ...]:
    """Read keys; what is no base64 is an empty one."""
    return tuple(_decoded(it.strip()) for it in value.get_secret_value().split(","))


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
