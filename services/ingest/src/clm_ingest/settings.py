"""What ingest is told from outside."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from clm_common.settings import Port
from clm_common.settings_secrets import SecretsSettings
from clm_ingest import script
from clm_ingest.core.parcel import Limits
from clm_ingest.core.policy import SizeLimits
from clm_ingest.core.proxies import Network, networks_of
from clm_ingest.handlers import Bounds

_MIB = 1024 * 1024


class Settings(SecretsSettings):
    """The settings of ingest."""

    http_port: Port = Field(
        default=8080, description="the port to listen on; 0 picks a free one", examples=["8080"]
    )
    ingest_public_url: str | None = Field(
        default=None,
        description="where browsers reach ingest, for the settings of Segment's browser SDK; "
        "left out, it is where they asked for them",
        examples=["https://t.example.com"],
        pattern=r"^https?://[^\s/]+(/\S*)?$",
    )
    ingest_body_bytes: int = Field(
        default=4 * _MIB,
        ge=64 * 1024,
        le=64 * _MIB,
        description="the largest body of a request, inflated",
        examples=["4194304"],
    )
    ingest_event_bytes: int = Field(
        default=512 * 1024,
        ge=1024,
        le=600 * 1024,
        description="the largest event; its dead letter, a third larger, must fit into Kafka",
        examples=["524288"],
    )
    ingest_batch_events: int = Field(
        default=2_500, ge=1, le=50_000, description="events in one batch", examples=["2500"]
    )
    ingest_memory_bytes: int = Field(
        default=64 * _MIB,
        ge=8 * _MIB,
        description="bodies in memory at once; beyond it senders are asked to wait",
        examples=["67108864"],
    )
    ingest_window_bytes: int = Field(
        default=32 * _MIB,
        ge=0,
        description="message ids that are remembered to hold repeats back early, some 170 bytes "
        "each; 0 holds none back: events count once all the same",
        examples=["33554432"],
    )
    ingest_pending_bytes: int = Field(
        default=64 * _MIB,
        ge=8 * _MIB,
        description="bytes that may wait for Kafka's acknowledgement; beyond it senders are "
        "asked to wait",
        examples=["67108864"],
    )
    ingest_requests: int = Field(
        default=1_000, ge=1, description="tracking requests at the same time", examples=["1000"]
    )
    ingest_read_seconds: float = Field(
        default=10.0, gt=0, le=300, description="how long a body may take", examples=["10"]
    )
    ingest_trusted_proxies: str = Field(
        default="",
        description="the proxies in front of ingest, whose X-Forwarded-For, Forwarded and "
        "X-Forwarded-Proto are believed: addresses or networks, separated by commas",
        examples=["10.0.0.0/8,127.0.0.1"],
    )

    @field_validator("ingest_trusted_proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        try:
            networks_of(value)
        except ValueError as error:
            raise PydanticCustomError(
                "networks", "must be addresses or networks: {error}", {"error": str(error)}
            ) from None
        return value

    ingest_hook_dir: Path | None = Field(
        default=None,
        description="a folder of mappings of webhooks, beside those that ship",
        examples=["/etc/clm/hooks"],
    )

    @property
    def proxies(self) -> Sequence[Network]:
        """Who is believed about the sender's address."""
        return networks_of(self.ingest_trusted_proxies)

    @property
    def most(self) -> SizeLimits:
        """The sizes that no source's policy goes beyond."""
        return SizeLimits(
            event_bytes=self.ingest_event_bytes,
            batch_events=self.ingest_batch_events,
            body_bytes=self.ingest_body_bytes,
        )

    ingest_posthog: bool = Field(
        default=False,
        description="whether PostHog's capture endpoints (`/e`, `/batch`, …) are there, too",
        examples=["true"],
    )

    ingest_script_path: str = Field(
        default=script.PATH,
        description="where the browser script `clm.js` is served",
        examples=["/assets/shop.js"],
        pattern=r"^(/[A-Za-z0-9_.-]+)+\.js$",
    )
    ingest_prefix: str = Field(
        default="",
        description="a path below which the tracking routes and the browser script are, too; a "
        "name of the company's own keeps them off the lists of ad blockers",
        examples=["/hello"],
        pattern=r"^(/[A-Za-z0-9_.-]+)*$",
    )

    @property
    def bounds(self) -> Bounds:
        """What is taken on at once."""
        return Bounds(
            limits=Limits(event_bytes=self.ingest_event_bytes, events=self.ingest_batch_events),
            body_bytes=self.ingest_body_bytes,
            memory_bytes=self.ingest_memory_bytes,
            window_bytes=self.ingest_window_bytes,
            requests=self.ingest_requests,
            read_seconds=self.ingest_read_seconds,
        )
