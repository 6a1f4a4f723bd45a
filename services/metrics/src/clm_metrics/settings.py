"""What metrics is told from outside."""

from __future__ import annotations

import json
from typing import Annotated, Final

from pydantic import Field, StringConstraints, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from clm_common.settings import Port
from clm_common.settings_lifecycle import LifecycleSettings
from clm_common.settings_river import RiverSettings
from clm_metrics.core.calendar import Calendar, Zones

Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]

_FUNNEL: Final = '{"reach": ["reach", "acquisition", "conversion", "retention", "loyalty"]}'


class Settings(LifecycleSettings, RiverSettings):
    """The settings of metrics."""

    http_port: Port = Field(
        default=8082, description="the port to listen on; 0 picks a free one", examples=["8082"]
    )
    report_time_zone: str = Field(
        default="UTC",
        description="the IANA time zone whose days are counted by",
        examples=["Europe/Berlin"],
    )
    report_time_zones: Annotated[dict[Name, str], NoDecode] = Field(
        default_factory=dict[Name, str],
        description="the time zones of workspaces that report in another one, as a JSON object",
        examples=['{"acme": "America/New_York"}'],
    )
    stage_order: Annotated[dict[Name, tuple[Name, ...]], NoDecode] = Field(
        default_factory=dict[Name, tuple[Name, ...]],
        description="the order of a lifecycle's stages in funnels, as a JSON object; "
        "without it they stand in the order in which people enter them",
        examples=[_FUNNEL],
    )

    @field_validator("report_time_zones", "stage_order", mode="before")
    @classmethod
    def _is_json(cls, value: object) -> object:
        try:
            return json.loads(value) if isinstance(value, str) else value
        except ValueError as error:
            raise PydanticCustomError("value_error", "must be a JSON object") from error

    @field_validator("report_time_zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        return _checked(value)

    @field_validator("report_time_zones")
    @classmethod
    def _are_zones(cls, value: dict[str, str]) -> dict[str, str]:
        return {workspace: _checked(zone) for workspace, zone in value.items()}

    @field_validator("stage_order")
    @classmethod
    def _names_each_stage_once(
        cls, value: dict[str, tuple[str, ...]]
    ) -> dict[str, tuple[str, ...]]:
        for lifecycle, stages in value.items():
            if len(set(stages)) != len(stages):
                raise PydanticCustomError(
                    "value_error", "names a stage of {lifecycle} twice", {"lifecycle": lifecycle}
                )
        return value

    @property
    def zones(self) -> Zones:
        """Which time zone each workspace reports in."""
        return Zones(self.report_time_zone, self.report_time_zones)


def _checked(zone: str) -> str:
    try:
        return Calendar(zone).name
    except ValueError as error:
        raise PydanticCustomError("value_error", "{why}", {"why": str(error)}) from error
