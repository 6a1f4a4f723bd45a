"""A source's policy: what may be sent with its keys, by whom, how fast, and what is kept of it.

The document is strict: a key it does not know is refused. Its defaults change nothing, so a source
without a policy costs nothing. `rules` makes of it what a request is held against.
"""

import ipaddress
import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

IpHandling = Literal["as_sent", "keep", "truncate", "drop"]

_HOST: Final = (
    r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_ORIGIN: Final = re.compile(rf"(?:https?://)?(?:{_HOST}|\[[0-9a-f:.]+\])(?::[0-9]{{1,5}})?")
_MOST_ORIGINS: Final = 200
_LONGEST_ORIGIN: Final = 270
_MOST_NETWORKS: Final = 200
_LONGEST_NETWORK: Final = 64
_DOMAIN: Final = re.compile(r"(?:\*\.)?(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}")
_MOST_DOMAINS: Final = 200
_LONGEST_DOMAIN: Final = 255
_MOST_USERS: Final = 1_000
_LONGEST_USER: Final = 256


def _origin(text: str) -> str:
    """Normalise an allowed origin, or say what one looks like."""
    wanted = text.strip().lower().removesuffix("/")
    if not _ORIGIN.fullmatch(wanted):
        raise ValueError(
            "must be an origin or a host, such as https://shop.example.com, shop.example.com or "
            "*.example.com; a name in another script is written in punycode"
        )
    bracket, _, rest = wanted.partition("[")
    if rest:
        ipaddress.IPv6Address(rest.partition("]")[0])
    return f"{bracket}[{rest}" if rest else wanted


def _network(text: str) -> str:
    """Normalise a network, or say what one looks like."""
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        raise ValueError(
            "must be an address or a network in CIDR form, such as 192.0.2.7, 198.51.100.0/24 or "
            "2001:db8::/32"
        ) from None


def _domain(text: str) -> str:
    """Normalise a domain of addresses, or say what one looks like."""
    wanted = text.strip().lower().removeprefix("@")
    if not _DOMAIN.fullmatch(wanted):
        raise ValueError(
            "must be what stands behind the @ of addresses, such as example.com, or "
            "*.example.com for every domain below it; a name in another script is written in "
            "punycode"
        )
    return wanted


Network = Annotated[str, Field(max_length=_LONGEST_NETWORK), AfterValidator(_network)]
EmailDomain = Annotated[str, Field(max_length=_LONGEST_DOMAIN), AfterValidator(_domain)]
UserId = Annotated[str, Field(min_length=1, max_length=_LONGEST_USER)]
AllowedOrigin = Annotated[str, Field(max_length=_LONGEST_ORIGIN), AfterValidator(_origin)]


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RateLimit(_Document):
    """How many events a source may send; each process of ingest counts by itself."""

    events_per_second: float = Field(
        gt=0, le=1_000_000, allow_inf_nan=False, description="The steady rate."
    )
    burst: int = Field(
        ge=1,
        le=10_000_000,
        description="Events that may come at once after a quiet time. A larger batch is taken "
        "when nothing was sent for long enough, and is paid for afterwards.",
    )


class SizeLimits(_Document):
    """Sizes below the service's own; None leaves the service's."""

    event_bytes: int | None = Field(default=None, ge=256, description="The largest event.")
    batch_events: int | None = Field(default=None, ge=1, description="Events in one batch.")
    body_bytes: int | None = Field(
        default=None, ge=256, description="The largest body of a request, inflated."
    )


class Policy(_Document):
    """What may be sent with a source's keys; the defaults change nothing."""

    allowed_origins: tuple[AllowedOrigin, ...] = Field(
        default=(),
        max_length=_MOST_ORIGINS,
        description="Where browsers may send from: `https://shop.example.com` exactly, "
        "`shop.example.com` with any scheme and port, `*.example.com` for every name below it. "
        "Empty: from everywhere. A request without an `Origin`, as servers send it, passes.",
    )
    rate: RateLimit | None = Field(default=None, description="None: as fast as it can.")
    limits: SizeLimits = Field(default=SizeLimits(), description="Sizes of requests.")
    ip: IpHandling = Field(
        default="as_sent",
        description="What becomes of the sender's address in `context.ip`. `as_sent`: nothing is "
        "added or changed. `keep`: it is added where the event has none. `truncate`: likewise, "
        "and every address loses its last octet (IPv4) or its last 80 bits (IPv6). `drop`: none "
        "is kept.",
    )
    internal_networks: tuple[Network, ...] = Field(
        default=(),
        max_length=_MOST_NETWORKS,
        description="The company's own networks (CIDR, IPv4 or IPv6). Touchpoints sent from one of "
        "them are marked `internal`; they are taken like all others. The sender's address is that "
        "of the connection, or what a proxy that ingest was told of says.",
    )
    internal_email_domains: tuple[EmailDomain, ...] = Field(
        default=(),
        max_length=_MOST_DOMAINS,
        description="The domains of the company's own addresses: `example.com` exactly, "
        "`*.example.com` for every domain below it. Touchpoints with such an address (`email` in "
        "traits, `context.traits` or properties, or the user's id itself) are marked `internal`.",
    )
    internal_users: tuple[UserId, ...] = Field(
        default=(),
        max_length=_MOST_USERS,
        description="The ids of the company's own people and of its test accounts: touchpoints of "
        "this `userId`, or of this `anonymousId` where there is no other, are marked `internal`.",
    )
    honour_gpc: bool = Field(
        default=False,
        description="Whether events sent with `Sec-GPC: 1` are declined: answered 200, named in "
        "the answer, counted, and kept nowhere.",
    )
    honour_dnt: bool = Field(default=False, description="The same for `DNT: 1`.")


DEFAULT: Final = Policy()
