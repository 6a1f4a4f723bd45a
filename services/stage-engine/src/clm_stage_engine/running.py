"""The lifecycles that run, as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from clm_common import catalog
from clm_common.errors import DefinitionError
from clm_stage_engine import views
from clm_stage_engine.channel_file import load_channels, own_channels
from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.eras import Course
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.definitions import compiled
from clm_stage_engine.lifecycle_file import LifecycleFile


class Running(Struct, frozen=True):
    """What decides, and its newest definition as people read it."""

    course: Course
    view: views.Lifecycle

    @property
    def lifecycle(self) -> Lifecycle:
        """The newest definition."""
        return self.course.lifecycle


def known(folders: Sequence[Path]) -> dict[str, Running]:
    """Give all lifecycles of these folders by key; one in a later folder replaces the earlier one.

    A folder `channels` in one of these holds tables of channels that come before those that ship.

    Raises:
        DefinitionError: one in these folders cannot be right.
    """
    entries: dict[str, catalog.Entry[LifecycleFile]] = {}
    for folder in folders:
        entries |= catalog.load(folder, LifecycleFile)
    channels = load_channels(*own_channels(folders))
    every = {each: compiled(entry, channels) for each, entry in entries.items()}
    return {each: _running(it, entries[each]) for each, it in every.items()}


def _running(lifecycle: Lifecycle, entry: catalog.Entry[LifecycleFile]) -> Running:
    text = Path(entry.file).read_text("utf-8")
    return Running(Course.of(lifecycle), _view(lifecycle, entry, text))


def choose(folders: Sequence[Path], key: str) -> Running:
    """Give the lifecycle of that key; see `known` and `chosen`.

    Raises:
        DefinitionError: there is none of that name, or one in these folders cannot be right.
    """
    return chosen(known(folders), key)


def chosen(every: Mapping[str, Running], key: str) -> Running:
    """Give one out of those that are known.

    Raises:
        DefinitionError: there is none of that key.
    """
    if key not in every:
        raise DefinitionError(
            "lifecycle.unknown",
            f"CLM_LIFECYCLE={key}: there is no such lifecycle; "
            f"choose one of {', '.join(sorted(every))}",
        )
    return every[key]


def published(text: str, number: int, channels: Channels) -> Running:
    """Read the text of a version, as it stands in the database.

    Args:
        text: YAML.
        number: the version's; 0 for a text that is none yet.
        channels: the installation's tables.

    Raises:
        DefinitionError: it cannot be right.
    """
    entry = catalog.read(text, f"version {number}" if number else "", LifecycleFile)
    lifecycle = compiled(entry, channels)
    numbered = replace(lifecycle, version=number)
    return Running(Course.of(numbered), _view(numbered, entry, text))


def _view(lifecycle: Lifecycle, entry: catalog.Entry[LifecycleFile], text: str) -> views.Lifecycle:
    written, document = entry.definition, entry.document.value
    assert isinstance(document, dict)  # noqa: S101 - the model took it
    return views.Lifecycle(
        key=lifecycle.key,
        title=written.title,
        description=written.description,
        definition=lifecycle.digest,
        start=lifecycle.start,
        stages=[
            views.Stage(
                key=it.key, title=it.title, description=it.description, aliases=[*it.aliases]
            )
            for it in lifecycle.stages
        ],
        document=document,
        yaml=text,
        version=lifecycle.version,
    )
