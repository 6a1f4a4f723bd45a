"""Lifecycle definitions: YAML under a strict model, checked, compiled.

`lifecycles/<key>.yaml` is a lifecycle; another one is another file. Whatever cannot be right
refuses to start with file, line and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from clm_common import catalog
from clm_common.catalog import Entry, Problem
from clm_stage_engine.channel_file import shipped
from clm_stage_engine.core.channel import Channels
from clm_stage_engine.core.compiling import build
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.core.soundness import check
from clm_stage_engine.lifecycle_file import LifecycleFile

SHIPPED: Final = Path(__file__).parent / "lifecycles"


def load(*folders: Path) -> Mapping[str, Lifecycle]:
    """Read, check and compile every lifecycle of these folders, by key.

    Args:
        folders: by default those that ship; a key in a later folder replaces the earlier one.

    Raises:
        DefinitionError: a definition cannot be right.
    """
    entries: dict[str, Entry[LifecycleFile]] = {}
    for folder in folders or (SHIPPED,):
        entries |= catalog.load(folder, LifecycleFile)
    return {key: compiled(entry) for key, entry in entries.items()}


def parse(text: str, file: str = "lifecycle.yaml") -> Lifecycle:
    """Read, check and compile one lifecycle; `file` is its name in errors.

    Raises:
        DefinitionError: it cannot be right.
    """
    return compiled(catalog.read(text, file, LifecycleFile))


def compiled(entry: Entry[LifecycleFile], channels: Channels | None = None) -> Lifecycle:
    """Check and compile what was read.

    Args:
        entry: what was read.
        channels: tells the channels of touchpoints; by default by the shipped tables.

    Raises:
        DefinitionError: it cannot be right.
    """
    draft = entry.definition.draft()
    faults = check(draft)
    if faults:
        raise entry.refuse(Problem(*fault) for fault in faults)
    return build(draft, channels or shipped())
