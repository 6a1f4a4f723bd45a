"""The settings of services that read the river: where they get the keys of what is sealed."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from clm_common.settings import ServiceSettings


class RiverSettings(ServiceSettings):
    """The settings of a service that reads `clm.journey`; see `runtime.opening`."""

    journey_keys_url: str | None = Field(
        default=None,
        description="where stage-engine is, which gives the keys of a sealed river",
        examples=["http://stage-engine:8081"],
        pattern=r"^https?://[^\s?#]+$",
    )
    journey_keys_token: Path | None = Field(
        default=None,
        description="a file with the bearer token that gets them: with the scope journey:keys, of "
        "the workspace *; it is read again each time",
        examples=["/run/secrets/journey-keys.token"],
    )

    @model_validator(mode="after")
    def _asks_with_a_token(self) -> Self:
        if self.journey_keys_url and self.journey_keys_token is None:
            raise PydanticCustomError(
                "value_error",
                "CLM_JOURNEY_KEYS_URL needs CLM_JOURNEY_KEYS_TOKEN: a file with a bearer token "
                "with the scope journey:keys, of the workspace *",
            )
        return self
