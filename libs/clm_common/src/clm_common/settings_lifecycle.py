"""The setting that says which lifecycles run; services that name one tell the main one by it."""

from __future__ import annotations

from pydantic import Field

from clm_common.settings import ServiceSettings


class LifecycleSettings(ServiceSettings):
    """The settings of a service to which no lifecycle named means the main one.

    The services of one installation must be told the same.
    """

    lifecycle: str = Field(
        default="reach",
        pattern=r"^[a-z0-9-]+( *, *[a-z0-9-]+)*$",
        description="the key of the lifecycle that runs; of several, with commas, the first is the "
        "main one and the others run beside it; the same for all services",
        examples=["reach", "reach,saas"],
    )

    @property
    def main_lifecycle(self) -> str:
        """The key of the main lifecycle."""
        return self._lifecycles[0]

    @property
    def further_lifecycles(self) -> list[str]:
        """The keys of those that run beside it."""
        return [it for it in dict.fromkeys(self._lifecycles) if it != self.main_lifecycle]

    @property
    def _lifecycles(self) -> list[str]:
        return [it.strip() for it in self.lifecycle.split(",")]
