"""Segment's HTTP tracking API: the names of its calls, and what its browser SDK loads first.

Source: Segment's HTTP API specification; the short forms are those of its browser SDK.
"""

from typing import Final

from clm_common.contracts.touchpoint import TouchpointType

SHORT: Final[dict[TouchpointType, str]] = {
    "identify": "i",
    "track": "t",
    "page": "p",
    "screen": "s",
    "group": "g",
    "alias": "a",
}
"""Every call and its short form."""

_LIVE: Final = ("analytics-java", "analytics-ruby", "analytics-php", "Analytics.NET")
"""Segment's libraries that send to `/v1/import` what happens now."""


def sends_live(context: object) -> bool:
    """Tell whether a context names a library that sends to `/v1/import` what happens now.

    Args:
        context: of a batch or of an event, the sender's own JSON.
    """
    library = context.get("library") if isinstance(context, dict) else None
    return isinstance(library, dict) and library.get("name") in _LIVE


def settings_of(write_key: str, *, api_host: str, protocol: str) -> dict[str, object]:
    """Give the document Segment's browser SDK loads before it sends its first event.

    Args:
        write_key: the source's key, as the browser sent it.
        api_host: host and path the SDK posts to, without a protocol.
        protocol: `http` or `https`.
    """
    segment = {
        "apiKey": write_key,
        "apiHost": api_host,
        "protocol": protocol,
        "versionSettings": {"version": "4.4.7", "componentTypes": ["browser"]},
    }
    enabled = {"__default": {"enabled": True, "integrations": {}}}
    return {
        "integrations": {"Segment.io": segment},
        "plan": {"track": enabled, "identify": enabled, "group": enabled},
        "metrics": {"sampleRate": 0},
        "analyticsNextEnabled": True,
    }
