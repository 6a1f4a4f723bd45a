"""What stage-engine is told from outside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import Field

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
