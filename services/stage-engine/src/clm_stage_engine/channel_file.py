"""How the tables of `core.channel` are written: `channels/<key>.yaml` under a strict model.

A company's own files are read before the shipped one: their rules come first, and what they say of
a name replaces what is shipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints

from clm_common import catalog
from clm_common.catalog import Definition, Key, Strict
from clm_stage_engine.core.channel import Channels, Own, Tables
from clm_stage_engine.language.where import TestWritten, tests_of

SHIPPED: Final = Path(__file__).parent / "channels"

_Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Signal = Literal[
    "type",
    "event",
    "channel",
    "source",
    "medium",
    "campaign",
    "content",
    "term",
    "clicks",
    "referrer",
    "host",
]


class RuleLine(Strict):
    """One of `rules`: touchpoints whose signals pass every test have this channel."""

    channel: Key
    when: Annotated[dict[Signal, TestWritten], Field(min_length=1)]

    def core(self) -> Own:
        """Give the rule."""
        pairs = ((name, test) for name, it in self.when.items() for test in tests_of(it))
        return Own(self.channel, tuple(((name,), test) for name, test in pairs))


class ChannelFile(Definition):
    """Tables by which the channels of touchpoints are told; see `core.channel`."""

    rules: list[RuleLine] = Field(default_factory=list[RuleLine])
    aliases: dict[_Text, Key] = Field(default_factory=dict[str, str])
    events: dict[_Text, Key] = Field(default_factory=dict[str, str])
    mediums: dict[_Text, Key] = Field(default_factory=dict[str, str])
    clicks: dict[_Text, Key] = Field(default_factory=dict[str, str])
    sites: dict[_Text, Key] = Field(default_factory=dict[str, str])
    sources: dict[_Text, Key] = Field(default_factory=dict[str, str])


def load_channels(*folders: Path) -> Channels:
    """Read the tables of these folders before the shipped ones.

    Raises:
        DefinitionError: a file cannot be right.
    """
    own = [it.definition for folder in folders for it in catalog.load(folder, ChannelFile).values()]
    last = [it.definition for it in catalog.load(SHIPPED, ChannelFile).values()]
    return Channels(tables([*own, *last]))


def own_channels(folders: Iterable[Path]) -> list[Path]:
    """Give the folders of a company's own tables: `channels` beside its lifecycles."""
    return [path for folder in folders if (path := folder / "channels").is_dir()]


@cache
def shipped() -> Channels:
    """Give the shipped tables, read once."""
    return load_channels()


def tables(files: Iterable[ChannelFile]) -> Tables:
    """Put tables together; what an earlier file says of a name holds."""
    listed = list(files)

    def merged(name: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for each in reversed(listed):
            found |= getattr(each, name)
        return found

    return Tables(
        tuple(rule.core() for each in listed for rule in each.rules),
        *(merged(it) for it in ("aliases", "events", "mediums", "clicks", "sites", "sources")),
    )
