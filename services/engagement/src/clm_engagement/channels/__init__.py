"""Channels: a module here that exposes one object, `channel`, is a way to reach people."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from clm_engagement.channels.port import Channel


def discover() -> Mapping[str, Channel]:
    """Import every module of this package and give their channels by key."""
    found: dict[str, Channel] = {}
    for module in pkgutil.iter_modules(__path__, f"{__name__}."):
        channel: Channel | None = getattr(importlib.import_module(module.name), "channel", None)
        if channel is not None:
            found[channel.key] = channel
    return found
