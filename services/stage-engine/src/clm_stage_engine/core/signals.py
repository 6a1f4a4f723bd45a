"""What a touchpoint tells of how it came about: campaign, clicks, referrer, its own word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from msgspec import Struct

_decode: Final = msgspec.json.Decoder().decode


class Signals(Struct, frozen=True, gc=False):
    """What tells the channel of a touchpoint; all texts in lower case, empty where absent.

    Attributes:
        type: the touchpoint's type.
        event: the tracked event's name, as it was sent.
        channel: `context.channel`; of our own messages also `properties.channel`.
        source: `utm_source`, else `context.source`.
        medium: `utm_medium`.
        campaign: `utm_campaign`, as it was sent.
        content: `utm_content`, as it was sent.
        term: `utm_term`.
        clicks: the names of the parameters in the page's address.
        referrer: the referrer's host, without `www.`.
        host: the page's own host, without `www.`.
    """

    type: str = ""
    event: str = ""
    channel: str = ""
    source: str = ""
    medium: str = ""
    campaign: str = ""
    content: str = ""
    term: str = ""
    clicks: tuple[str, ...] = ()
    referrer: str = ""
    host: str = ""


class _Campaign(Struct, frozen=True, gc=False):
    source: str | None = None
    medium: str | None = None
    name: str | None = None
    content: str | None = None
    term: str | None = None


class _Page(Struct, frozen=True, gc=False):
    url: str | None = None
    search: str | None = None
    referrer: str | None = None


class _Context(Struct, frozen=True, gc=False):
    channel: str | None = None
    source: str | None = None
    campaign: _Campaign | None = None
    page: _Page | None = None


class _Properties(Struct, frozen=True, gc=False):
    channel: str | None = None
    url: str | None = None
    referrer: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_content: str | None = None
    utm_term: str | None = None

    @property
    def is_silent(self) -> bool:
        """Whether it tells nothing beside its address."""
        return not (
            self.channel
            or self.referrer
            or self.utm_source
            or self.utm_medium
            or self.utm_campaign
            or self.utm_content
            or self.utm_term
        )


class Told(Struct, frozen=True, gc=False):
    """The parts of a touchpoint that may tell its channel, as they were sent."""

    type: str | None = None
    event: str | None = None
    context: _Context | None = None
    properties: _Properties | None = None

    @property
    def is_bare(self) -> bool:
        """Whether nothing but type and event can tell the channel: most of what servers send."""
        context, properties = self.context, self.properties
        if context is not None:
            page = context.page
            if context.channel or context.source or context.campaign is not None:
                return False
            if page is not None and (page.referrer or page.search or "?" in (page.url or "")):
                return False
        return properties is None or ("?" not in (properties.url or "") and properties.is_silent)


_NOTHING: Final = _Properties()
_NO_CONTEXT: Final = _Context()
_NO_CAMPAIGN: Final = _Campaign()
_NO_PAGE: Final = _Page()
_told: Final = msgspec.json.Decoder(Told).decode


def read(body: bytes) -> Told:
    """Read what may tell the channel; what is of another type than expected is left out."""
    try:
        return _told(body)
    except msgspec.ValidationError:
        return _leniently(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Told()


def _leniently(body: bytes) -> Told:
    try:
        sent = _dict(_decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Told()
    context = _dict(sent.get("context"))
    parts = {name: _texts(context.get(name)) for name in ("campaign", "page")}
    kept = {"context": _texts(context) | parts, "properties": _texts(sent.get("properties"))}
    return msgspec.convert(_texts(sent) | kept, Told)


def signals(told: Told) -> Signals:
    """Give what tells the channel, in one form."""
    context, properties = told.context or _NO_CONTEXT, told.properties or _NOTHING
    campaign, page = context.campaign or _NO_CAMPAIGN, context.page or _NO_PAGE
    address = page.url or properties.url or ""
    search = address.partition("?")[2] or (page.search or "").lstrip("?")
    asked = dict(_parameters(search)) if "=" in search else _NONE_ASKED
    channel = context.channel or (properties.channel if told.type == "track" else None) or ""
    source = campaign.source or properties.utm_source or asked.get("utm_source") or context.source
    return Signals(
        told.type or "",
        told.event or "",
        channel.lower(),
        (source or "").lower(),
        (campaign.medium or properties.utm_medium or asked.get("utm_medium", "")).lower(),
        campaign.name or properties.utm_campaign or asked.get("utm_campaign", ""),
        campaign.content or properties.utm_content or asked.get("utm_content", ""),
        (campaign.term or properties.utm_term or asked.get("utm_term", "")).lower(),
        tuple(sorted(it for it in asked if not it.startswith("utm_"))) if asked else (),
        host_of(page.referrer or properties.referrer or ""),
        host_of(address),
    )


_NONE_ASKED: Final[Mapping[str, str]] = {}


def _parameters(search: str) -> Iterator[tuple[str, str]]:
    try:
        yield from parse_qsl(search.partition("#")[0], max_num_fields=100)
    except ValueError:
        return


@lru_cache(maxsize=4096)
def host_of(address: str) -> str:
    """Give an address's host in lower case, without `www.` and port; empty where there is none."""
    _, found, rest = address.partition("://")
    if not found:
        return ""
    host = rest.partition("/")[0].partition("?")[0].rpartition("@")[2].partition(":")[0].lower()
    return host.removeprefix("www.")


def _dict(value: object) -> Mapping[str, Any]:  # Any: the sender's own JSON
    return value if isinstance(value, dict) else {}


def _texts(value: object) -> dict[str, Any]:  # Any: the sender's own JSON
    return {name: it for name, it in _dict(value).items() if isinstance(it, str)}
