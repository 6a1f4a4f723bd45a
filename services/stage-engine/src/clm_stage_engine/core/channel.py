"""The channel of a touchpoint: how the customer came to it, or through what it reached them.

`Channels.origin` decides in this order; the first that knows the answer wins:

1. the company's own rules, in the order of their files;
2. `context.channel`, where it names a channel (or an alias of one);
3. the event's name: what a review, a call, a ticket or a message of ours is;
4. the campaign: `utm_medium`, which with a known site as `utm_source` tells paid search from paid
   social; then the click ids that ad networks append; then `utm_source` (or `context.source`)
   alone, by name or as a host;
5. the referrer's host, by the kept lists; the page's own host is `internal`, any other `referral`;
6. a page or screen without all of these is `direct`; anything else has no channel.

What is asked is a function of the touchpoint and the tables alone. The engine asks once, when it
counts a touchpoint, and keeps the answer: new tables hold for what comes after them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from msgspec import Struct

from clm_stage_engine.core.predicate import Where
from clm_stage_engine.core.signals import Signals, Told, read, signals

CHANNELS: Final = (
    "search",
    "paid-search",
    "social",
    "paid-social",
    "email",
    "sms",
    "push",
    "in-app",
    "referral",
    "affiliate",
    "influencer",
    "review",
    "word-of-mouth",
    "ai-assistant",
    "phone",
    "support",
    "shop",
    "direct",
    "display",
    "video",
    "internal",
)
"""Every channel that the shipped tables give; a company's rules may name others."""

PAID: Final = {"search": "paid-search", "social": "paid-social", "video": "video"}
"""What a paid medium makes of the channel of its source."""

_MOST: Final = 200  # letters kept of a campaign's or a content's name


class Origin(Struct, frozen=True, gc=False):
    """Where a touchpoint came from.

    Attributes:
        channel: one of `CHANNELS` or of the company's own; None where nothing tells.
        campaign: the campaign's name.
        content: which of the campaign's ads or links it was.
    """

    channel: str | None = None
    campaign: str | None = None
    content: str | None = None


class Own(Struct, frozen=True):
    """A company's own rule: touchpoints whose signals pass all tests have this channel."""

    channel: str
    where: Where


class Tables(Struct, frozen=True):
    """What is known of names.

    Attributes:
        own: the company's own rules.
        aliases: channels by other names of theirs.
        events: channels by the name of an event.
        mediums: channels by `utm_medium`; `paid` where the source decides, too.
        clicks: channels by the parameter that an ad network appends to an address.
        sites: channels by host; `name.*` stands for a name under any country's domain.
        sources: channels by `utm_source`, where it is no host.
    """

    own: tuple[Own, ...] = ()
    aliases: Mapping[str, str] = {}
    events: Mapping[str, str] = {}
    mediums: Mapping[str, str] = {}
    clicks: Mapping[str, str] = {}
    sites: Mapping[str, str] = {}
    sources: Mapping[str, str] = {}


class Channels:
    """Tells the origin of touchpoints by tables.

    Attributes:
        tables: what is known of names.
    """

    def __init__(self, tables: Tables) -> None:
        """Make it from tables."""
        self.tables = tables
        self._plain = lru_cache(maxsize=4096)(self._of_name)
        self._channel = lru_cache(maxsize=4096)(self._decide)

    def origin(self, body: bytes, told: Told | None = None) -> Origin:
        """Tell where a touchpoint came from; a body that is no JSON came from nowhere.

        Args:
            body: its JSON.
            told: what `read` gives of it, where somebody has read it already.
        """
        told = told or read(body)
        if not self.tables.own and told.is_bare:
            return self._plain(told.type or "", told.event or "")
        found = signals(told)
        channel = self._owned(found) or self._channel(_deciding(found))
        return Origin(channel, _name(found.campaign), _name(found.content))

    def _of_name(self, type_: str, event: str) -> Origin:
        return Origin(self._channel(Signals(type_, event)))

    def _owned(self, found: Signals) -> str | None:
        for rule in self.tables.own:
            if all(test.holds(_given(found, path[0])) for path, test in rule.where):
                return rule.channel
        return None

    def _decide(self, found: Signals) -> str | None:
        return (
            self._named(found.channel)
            or self.tables.events.get(found.event)
            or self._campaign(found)
            or self._referrer(found)
            or ("direct" if found.type in {"page", "screen"} else None)
        )

    def _named(self, name: str) -> str | None:
        name = name.replace("_", "-").replace(" ", "-")
        return name if name in CHANNELS else self.tables.aliases.get(name)

    def _campaign(self, found: Signals) -> str | None:
        source = self._source(found.source)
        medium = self.tables.mediums.get(found.medium) or self._named(found.medium)
        if medium == "paid":
            return PAID.get(source or "", "paid-search")
        if medium is not None:
            return medium
        for name in found.clicks:
            if name in self.tables.clicks:
                return self.tables.clicks[name]
        if source is None and (found.medium or (found.source and found.clicks)):
            return "referral"
        return source

    def _source(self, name: str) -> str | None:
        if not name:
            return None
        return self.tables.sources.get(name) or self.site(name) or self._named(name)

    def _referrer(self, found: Signals) -> str | None:
        if not found.referrer:
            return None
        if found.referrer == found.host:
            return "internal"
        return self.site(found.referrer) or "referral"

    def site(self, host: str) -> str | None:
        """Give the channel of a host, or of a domain around it."""
        labels = host.split(".")
        for number in range(len(labels) - 1):
            exact = self.tables.sites.get(".".join(labels[number:]))
            if exact is not None:
                return exact
            rest = labels[number + 1 :]
            if len(rest) <= 2 and all(len(it) <= 3 for it in rest):  # noqa: PLR2004 - co.uk, com.br
                anywhere = self.tables.sites.get(f"{labels[number]}.*")
                if anywhere is not None:
                    return anywhere
        return None


def _deciding(found: Signals) -> Signals:
    """Leave out what decides nothing, so that touchpoints alike are looked up, not decided."""
    host = found.host if found.host == found.referrer else ""
    return Signals(
        found.type,
        found.event,
        found.channel,
        found.source,
        found.medium,
        clicks=found.clicks,
        referrer=found.referrer,
        host=host,
    )


def _name(sent: str) -> str | None:
    """Give the name of a campaign in the length and the letters that are kept."""
    return sent[:_MOST].replace("\0", "") or None if sent else None


def _given(found: Signals, name: str) -> tuple[object, ...]:
    value = getattr(found, name)
    return value if isinstance(value, tuple) else (value or None,)
