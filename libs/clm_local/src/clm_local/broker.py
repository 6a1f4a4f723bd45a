"""How the commands themselves reach Kafka: as the services do, by the same variables."""

from __future__ import annotations

import os

from clm_common.bus.kafka.settings import KafkaSettings, settings_from
from clm_local.system import KAFKA_VARIABLE


def settings_at(bootstrap: str) -> KafkaSettings:
    """Give the way to the broker at an address; `CLM_KAFKA_*` say how to encrypt and log in.

    Raises:
        SettingsError: one of them is wrong, or one is missing.
    """
    return settings_from({**os.environ, KAFKA_VARIABLE: bootstrap})
