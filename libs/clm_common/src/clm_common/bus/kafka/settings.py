"""How to reach the brokers, and how both sides prove who they are."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

from msgspec import Struct

from clm_common.errors import SettingsError

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

_USUAL_MECHANISM: Final = "SCRAM-SHA-512"  # the services' default, too
_VARIABLES: Final = {
    "CLM_KAFKA_BOOTSTRAP": "bootstrap",
    "CLM_KAFKA_SECURITY_PROTOCOL": "security_protocol",
    "CLM_KAFKA_SASL_MECHANISM": "sasl_mechanism",
    "CLM_KAFKA_SASL_USERNAME": "sasl_username",
    "CLM_KAFKA_SASL_PASSWORD": "sasl_password",
    "CLM_KAFKA_SSL_CAFILE": "ssl_cafile",
}


class KafkaSettings(Struct, frozen=True, kw_only=True):
    """Passed to everything that connects; the password never shows in a repr or a log.

    Attributes:
        bootstrap: `host:port`, several parted by commas.
        security_protocol: whether the connection is encrypted (SSL) and authenticated (SASL).
        sasl_mechanism: how the user proves itself; needed with SASL.
        sasl_username: likewise.
        sasl_password: likewise.
        ssl_cafile: a PEM file of the authorities to trust; None trusts the system's.
        client_id: the name that brokers show in their logs and quotas.
    """

    bootstrap: str
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: SaslMechanism | None = None
    sasl_username: str | None = None
    sasl_password: str | None = None
    ssl_cafile: str | None = None
    client_id: str = "clm"

    def __post_init__(self) -> None:
        """Refuse what no broker would accept.

        Raises:
            SettingsError: a value is unknown, or one that SASL needs is missing.
        """
        if not self.bootstrap.strip():
            raise SettingsError("kafka.bootstrap", "Kafka's bootstrap is empty; give host:port")
        if self.security_protocol not in get_args(SecurityProtocol):
            known = ", ".join(get_args(SecurityProtocol))
            message = f"security protocol {self.security_protocol!r} is not one of {known}"
            raise SettingsError("kafka.security_protocol", message)
        if self.security_protocol.startswith("SASL"):
            self._check_sasl()

    def _check_sasl(self) -> None:
        if self.sasl_mechanism not in get_args(SaslMechanism):
            known = ", ".join(get_args(SaslMechanism))
            message = f"SASL mechanism {self.sasl_mechanism!r} is not one of {known}"
            raise SettingsError("kafka.sasl_mechanism", message)
        if not self.sasl_username or not self.sasl_password:
            message = f"{self.security_protocol} needs a user name and a password"
            raise SettingsError("kafka.sasl_credentials", message)

    def __repr__(self) -> str:
        return (
            f"KafkaSettings({self.bootstrap!r}, {self.security_protocol},"
            f" user={self.sasl_username!r}, client_id={self.client_id!r})"
        )

    def connection(self) -> dict[str, Any]:  # Any: keyword arguments of aiokafka, which is untyped
        """Give the keyword arguments that every client of aiokafka takes.

        Raises:
            SettingsError: the file of authorities cannot be read.
        """
        found: dict[str, Any] = {  # Any: as above
            "bootstrap_servers": self.bootstrap,
            "client_id": self.client_id,
            "security_protocol": self.security_protocol,
        }
        if self.security_protocol.endswith("SSL"):
            found["ssl_context"] = self._ssl_context()
        if self.security_protocol.startswith("SASL"):
            found["sasl_mechanism"] = self.sasl_mechanism
            found["sasl_plain_username"] = self.sasl_username
            found["sasl_plain_password"] = self.sasl_password
        return found

    def _ssl_context(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ssl_cafile)
        except (OSError, ssl.SSLError) as error:
            message = f"the file of authorities {self.ssl_cafile} cannot be read: {error}"
            raise SettingsError("kafka.ssl_cafile", message) from error


def settings_from(environment: Mapping[str, str]) -> KafkaSettings:
    """Read the settings out of the environment, for programs that are no services.

    Raises:
        SettingsError: CLM_KAFKA_BOOTSTRAP is missing, or a value is wrong.
    """
    given = {
        field: environment[name] for name, field in _VARIABLES.items() if environment.get(name)
    }
    if "bootstrap" not in given:
        message = "CLM_KAFKA_BOOTSTRAP is missing; for example CLM_KAFKA_BOOTSTRAP=127.0.0.1:19092"
        raise SettingsError("kafka.bootstrap", message)
    if given.get("security_protocol", "").startswith("SASL"):
        given.setdefault("sasl_mechanism", _USUAL_MECHANISM)
    untyped: Any = given  # Any: KafkaSettings itself refuses what is not one of its words
    return KafkaSettings(**untyped)
