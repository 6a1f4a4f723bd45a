"""What stage-engine is told from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from clm_common.settings import ServiceSettings


class Settings(ServiceSettings):
    """The settings of stage-engine."""

    http_port: int = Field(
        default=8081,
        ge=0,
        le=65535,
        description="the port to listen on; 0 picks a free one",
        examples=["8081"],
    )
    lifecycle: str = Field(
        default="reach", description="the key of the lifecycle to run", examples=["reach"]
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
        description="how many months of history a workspace keeps; older ones are told in the log "
        "and kept all the same until the engine can fold from snapshots",
        examples=["25"],
    )
    history_months_of: dict[str, Annotated[int, Field(ge=1, le=1200)]] = Field(
        default_factory=dict[str, int],
        description="workspaces that differ",
        examples=['{"acme": 37}'],
    )

    @property
    def longest_history(self) -> int:
        """The months that the workspace with the longest history keeps."""
        return max([self.history_months, *self.history_months_of.values()])
