"""What a policy asks of a request: the right origin, sizes, and whether it may be kept at all."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct

from clm_common.errors import Rejected
from clm_ingest.core.amending import Amendment
from clm_ingest.core.insiders import Insiders
from clm_ingest.core.judging import Plan
from clm_ingest.core.parcel import Limits
from clm_ingest.core.policy import DEFAULT, IpHandling, Policy, RateLimit
from clm_ingest.core.proxies import Network, address_of, lies_in, networks_of

CONSENT: Final = "consent."
"""What the codes of verdicts begin with where the sender does not wish to be followed."""

_DEFAULT_PORTS: Final[Mapping[str, str]] = {"http": ":80", "https": ":443"}


class Origins(Struct, frozen=True):
    """The origins a browser may send from.

    Attributes:
        exact: origins and hosts.
        endings: what the name must end with, each with the scheme and the port it needs, or None
            where any will do.
    """

    exact: frozenset[str]
    endings: tuple[tuple[str, str | None, str | None], ...]

    @classmethod
    def of(cls, allowed: Iterable[str]) -> "Origins":
        """Read allowed origins as a policy has them."""
        wild = [origin for origin in allowed if "*." in origin]
        return cls(frozenset(set(allowed) - set(wild)), tuple(map(_ending, wild)))

    def admit(self, origin: str) -> bool:
        """Tell whether a request's `Origin` is one of them."""
        scheme, _, place = origin.lower().partition("://")
        host, port = _split(place)
        port = "" if port == _DEFAULT_PORTS.get(scheme) else port
        names = (f"{scheme}://{host}{port}", f"{host}{port}", host)
        if not self.exact.isdisjoint(names):
            return bool(place)
        return any(
            host.endswith(ending) and only in {None, scheme} and at in {None, port}
            for ending, only, at in self.endings
        )


class Rules(Struct, frozen=True):
    """A policy, made ready to be held against requests.

    Attributes:
        origins: where browsers may send from; None is everywhere.
        rate: how many events may come.
        event_bytes: the largest event; None is the service's.
        batch_events: how many events a batch may have; likewise.
        body_bytes: the largest body; likewise.
        ip: what becomes of addresses.
        signals: the headers that decline an event when they are `1`, with the verdict's code.
        plan: the tracking plan its events are held against.
        internal: the company's own networks.
        insiders: the company's own people.
    """

    origins: Origins | None = None
    rate: RateLimit | None = None
    event_bytes: int | None = None
    batch_events: int | None = None
    body_bytes: int | None = None
    ip: IpHandling = "as_sent"
    signals: tuple[tuple[bytes, str], ...] = ()
    plan: Plan | None = None
    internal: tuple[Network, ...] = ()
    insiders: Insiders | None = None

    def limits(self, own: Limits) -> Limits:
        """Give the limits of a request: never above the service's own."""
        return Limits(
            event_bytes=_lower(self.event_bytes, own.event_bytes),
            events=_lower(self.batch_events, own.events),
        )

    def check_origin(self, origin: bytes) -> None:
        """Refuse a browser of another origin.

        Args:
            origin: the `Origin` header, empty if there is none.

        Raises:
            Rejected: 403.
        """
        if not origin or self.origins is None:
            return
        text = origin.decode("latin-1")
        if not self.origins.admit(text):
            detail = f"this source takes nothing from {text}; add it to its allowed origins"
            raise Rejected(403, "origin.refused", detail)

    def check_sizes(self, body: int, events: int) -> None:
        """Refuse a request that is too large for the source.

        Raises:
            Rejected: 413.
        """
        if self.body_bytes is not None and body > self.body_bytes:
            detail = f"a body may have {self.body_bytes:,} bytes from this source, inflated"
            raise Rejected(413, "body.too_large", detail)
        if self.batch_events is not None and events > self.batch_events:
            detail = f"a batch may hold {self.batch_events:,} events from this source, not {events}"
            raise Rejected(413, "batch.too_long", detail)

    def declined(self, header: Callable[[bytes], bytes]) -> str | None:
        """Give the verdict's code if the sender does not wish to be followed."""
        return next((code for name, code in self.signals if header(name).strip() == b"1"), None)

    def is_internal(self, address: str | None) -> bool:
        """Tell whether an address, the sender's if it is known, is the company's own."""
        found = None if address is None else address_of(address)
        return found is not None and lies_in(found, self.internal)

    def amendment(self, address: str | None) -> Amendment | None:
        """Give what is changed in every event; None where nothing is.

        Args:
            address: the sender's, if it is known.
        """
        return None if self.ip == "as_sent" else Amendment(self.ip, address)


def rules_of(policy: Policy) -> Rules | None:
    """Make a policy ready; None if it asks for nothing."""
    if policy == DEFAULT:
        return None
    signals = (
        (b"sec-gpc", "consent.gpc", policy.honour_gpc),
        (b"dnt", "consent.dnt", policy.honour_dnt),
    )
    return Rules(
        origins=Origins.of(policy.allowed_origins) if policy.allowed_origins else None,
        rate=policy.rate,
        event_bytes=policy.limits.event_bytes,
        batch_events=policy.limits.batch_events,
        body_bytes=policy.limits.body_bytes,
        ip=policy.ip,
        internal=tuple(networks_of(",".join(policy.internal_networks))),
        insiders=Insiders.of(policy.internal_users, policy.internal_email_domains),
        signals=tuple((name, code) for name, code, honoured in signals if honoured),
    )


def _ending(allowed: str) -> tuple[str, str | None, str | None]:
    scheme, mark, place = allowed.rpartition("://")
    host, port = _split(place)
    if mark and port == _DEFAULT_PORTS[scheme]:
        port = ""
    return host.removeprefix("*"), scheme or None, port if mark or port else None


def _split(place: str) -> tuple[str, str]:
    """Part a host from `:port`."""
    host, mark, port = place.rpartition(":")
    return (host, f":{port}") if mark and port.isdigit() else (place, "")


def _lower(wanted: int | None, own: int) -> int:
    return own if wanted is None else min(wanted, own)
