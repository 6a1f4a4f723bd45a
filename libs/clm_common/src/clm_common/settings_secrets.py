"""The setting of services that keep secrets of others: the keys that encrypt them."""

from __future__ import annotations

from typing import Final

from pydantic import Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError

from clm_common.settings import ServiceSettings

_MIN_KEY: Final = 32


class SecretsSettings(ServiceSettings):
    """The settings of a service that keeps secrets; see `clm_common.store.vault`."""

    secrets_key: SecretStr | None = Field(
        default=None,
        description="encrypts the secrets of webhooks, a random text of at least 32 characters; "
        "several, separated by commas, newest first, to replace one",
        examples=["…"],
    )

    @field_validator("secrets_key")
    @classmethod
    def _is_long(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None or not value.get_secret_value():
            return None  # an empty variable is none: a compose file cannot leave one out
        keys = value.get_secret_value().split(",")
        if any(len(key.strip()) < _MIN_KEY for key in keys):
            raise PydanticCustomError("key", "each key must have at least 32 characters")
        return value

    @property
    def secrets_keys(self) -> tuple[bytes, ...]:
        """The keys that encrypt secrets, the newest first; empty where none is set."""
        if self.secrets_key is None:
            return ()
        return tuple(key.strip().encode() for key in self.secrets_key.get_secret_value().split(","))
