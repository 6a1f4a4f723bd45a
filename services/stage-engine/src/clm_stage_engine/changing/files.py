"""Definitions as programs are given them: a file, standard input (`-`), or a lifecycle's key."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from clm_common import catalog
from clm_common.errors import DefinitionError
from clm_stage_engine import definitions
from clm_stage_engine.channel_file import load_channels, own_channels
from clm_stage_engine.core.lifecycle import Lifecycle
from clm_stage_engine.lifecycle_file import LifecycleFile
from clm_stage_engine.running import choose

LARGEST: Final = 1 << 20
"""Bytes of a definition at most."""


def text_of(file: str) -> str:
    """Read a file's text.

    Raises:
        DefinitionError: it is not there, too large, or not UTF-8.
    """
    try:
        data = sys.stdin.buffer.read(LARGEST + 1) if file == "-" else Path(file).read_bytes()
        text = data.decode()
    except (OSError, UnicodeDecodeError) as error:
        message = f"{file}: not readable as UTF-8 text: {error}"
        raise DefinitionError("definition.unreadable", message, file=file) from error
    if len(data) > LARGEST:
        message = f"{file}: has more than {LARGEST} bytes; no lifecycle needs them"
        raise DefinitionError("definition.too_large", message, file=file)
    return text


def read(file: str, folders: Sequence[Path] = ()) -> Lifecycle:
    """Read, check and compile a file; `folders` may hold channel tables of the company's own.

    Raises:
        DefinitionError: it cannot be right; the message has file, line and advice.
    """
    entry = catalog.read(text_of(file), "standard input" if file == "-" else file, LifecycleFile)
    return definitions.compiled(entry, load_channels(*own_channels(folders)))


def read_or_choose(named: str, folders: Sequence[Path]) -> Lifecycle:
    """Give a lifecycle by its key, or by its file where the name looks like one.

    Raises:
        DefinitionError: there is none of that name, or it cannot be right.
    """
    looks_like_file = named == "-" or "/" in named or named.endswith(".yaml")
    return read(named, folders) if looks_like_file else choose(folders, named).lifecycle
