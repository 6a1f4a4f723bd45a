"""Documents that people write: YAML or JSON, from a file or from standard input."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from clm_common import plain_yaml
from clm_local.errors import LocalError

Document = dict[str, Any]  # Any: what it may hold is the reader's business

STDIN = "-"


def read(place: str) -> Document:
    """Read a document.

    Args:
        place: a file's path, or `-` for standard input.

    Raises:
        LocalError: it cannot be read, or is no mapping.
    """
    named = "standard input" if place == STDIN else place
    try:
        text = sys.stdin.read() if place == STDIN else Path(place).read_text(encoding="utf-8")
        found = plain_yaml.Document(text).value
    except OSError as error:
        raise LocalError("file-unreadable", f"{named} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise LocalError("file-malformed", f"{named} is not UTF-8: {error}.") from error
    except plain_yaml.NotPlain as error:
        wrong = f"{named}, line {error.line}: {error.message}."
        raise LocalError("file-malformed", wrong) from error
    if not isinstance(found, dict):
        raise LocalError("file-malformed", f"{named} must hold a mapping, such as `mode: observe`.")
    return found


def write(document: object) -> str:
    """Write a document as YAML."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
