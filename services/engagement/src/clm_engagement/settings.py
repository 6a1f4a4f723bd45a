"""The settings of the engagement service, besides those that every service has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import parse_qs, urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator
from pydantic_core import PydanticCustomError

from clm_common.instant import DAY, HOUR, MINUTE, SECOND
from clm_common.settings_lifecycle import LifecycleSettings
from clm_common.settings_river import RiverSettings
from clm_engagement.core.contact import normal_email

_UNITS: Final = {"s": SECOND, "m": MINUTE, "h": HOUR, "d": DAY}
_DURATION: Final = re.compile(r"([1-9][0-9]*)([smhd])")
_MIN_KEY: Final = 32
_LOCAL_FROM: Final = "CLM <hello@example.com>"
_LOCAL_URL: Final = "http://127.0.0.1:8083"


def _duration(value: object) -> object:
    """Read `45s 10m 48h 2d` as µs."""
    if not isinstance(value, str):
        return value
    match = _DURATION.fullmatch(value)
    if match is None:
        raise PydanticCustomError("url", "must be a duration such as 45s, 10m, 48h or 2d")
    return int(match[1]) * _UNITS[match[2]]


Duration = Annotated[int, BeforeValidator(_duration)]


class Settings(LifecycleSettings, RiverSettings):
    """What the engagement service is told from outside."""

    http_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        8083, description="the port to listen on; 0 picks a free one", examples=["8083"]
    )
    smtp_url: SecretStr = Field(
        SecretStr("smtp://127.0.0.1:1025"),
        description=(
            "the mail server: smtp:// (with STARTTLS where offered; ?starttls=required or never) "
            "or smtps://, with user:password@ where it asks for them"
        ),
        examples=["smtp://user:password@mail.example.com:587?starttls=required"],
    )
    mail_from: str = Field(
        _LOCAL_FROM, description="the sender of all mail", examples=["Shop <hello@example.com>"]
    )
    public_url: str = Field(
        _LOCAL_URL,
        description="where recipients reach this service, for the links in messages",
        examples=["https://mail.example.com"],
        pattern=r"^https?://[^\s?#]+$",
    )
    live_window: Duration = Field(
        48 * HOUR,
        description="how old a stage change may be to be acted upon; older ones are history",
        examples=["48h"],
    )
    signing_key: SecretStr | None = Field(
        None,
        description=(
            "signs the links in messages, at least 32 characters; several, separated by commas, "
            "newest first, to replace one"
        ),
        examples=["…"],
    )
    address_key: SecretStr | None = Field(
        None,
        description=(
            "keys the hashes of addresses by which it is known who unsubscribed, at least 32 "
            "characters; several, separated by commas, newest first: keep the old ones for good"
        ),
        examples=["…"],
    )
    journey_dir: Path | None = Field(
        None,
        description="a folder of journeys to run in place of those that ship",
        examples=["/etc/clm/journeys"],
    )
    mail_connections: int = Field(
        8, ge=1, le=64, description="connections to the mail server", examples=["8"]
    )
    mail_timeout: Duration = Field(
        30 * SECOND, description="how long handing over one message may take", examples=["30s"]
    )

    @field_validator("smtp_url")
    @classmethod
    def _is_smtp(cls, value: SecretStr) -> SecretStr:
        url = urlsplit(value.get_secret_value())
        start_tls = parse_qs(url.query).get("starttls", ["auto"])[-1]
        if url.scheme not in {"smtp", "smtps"} or not url.hostname:
            raise PydanticCustomError("url", "must be smtp://host:port or smtps://host:port")
        if start_tls not in {"auto", "required", "never"}:
            raise PydanticCustomError("url", "starttls must be auto, required or never")
        return value

    @field_validator("mail_from")
    @classmethod
    def _is_address(cls, value: str) -> str:
        if not value.isprintable() or normal_email(parseaddr(value)[1]) is None:
            raise PydanticCustomError("url", "must be an address: Name <name@domain>")
        return value

    @field_validator("signing_key", "address_key")
    @classmethod
    def _is_long(cls, value: SecretStr | None) -> SecretStr | None:
        keys = [] if value is None else value.get_secret_value().split(",")
        if any(len(key.strip()) < _MIN_KEY for key in keys):
            raise PydanticCustomError("url", "each key must have at least 32 characters")
        return value

    @property
    def sender(self) -> tuple[str, str]:
        """The sender's name and address."""
        name, address = parseaddr(self.mail_from)
        return name, normal_email(address) or address

    @property
    def signing_keys(self) -> tuple[bytes, ...]:
        """The signing keys, the newest first; empty where none is set."""
        return _keys_of(self.signing_key)

    @property
    def address_keys(self) -> tuple[bytes, ...]:
        """The keys of hashes of addresses, the newest first; empty where none is set."""
        return _keys_of(self.address_key)

    def _insecure(self) -> Iterator[str]:
        yield from super()._insecure()
        if self.signing_key is None:
            yield "no key for the links in messages; set CLM_SIGNING_KEY to a random text"
        if self.address_key is None:
            yield "no key for the hashes of addresses; set CLM_ADDRESS_KEY to a random text"
        if self.mail_from == _LOCAL_FROM:
            yield "the default sender; set CLM_MAIL_FROM"
        if not self.public_url.startswith("https://"):
            yield "links without TLS; set CLM_PUBLIC_URL to an https:// address"


def _keys_of(value: SecretStr | None) -> tuple[bytes, ...]:
    if value is None:
        return ()
    return tuple(key.strip().encode() for key in value.get_secret_value().split(","))
