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
    found = _value(place)
    if not isinstance(found, dict):
        wrong = f"{_named(place)} must hold a mapping, such as `mode: observe`."
        raise LocalError("file-malformed", wrong)
    return found


def read_body(place: str) -> Document | list[Any]:  # Any: as above
    """Read the body of a request: a mapping, or a list of events.

    Args:
        place: a file's path, or `-` for standard input.

    Raises:
        LocalError: it cannot be read, or is neither.
    """
    found = _value(place)
    if not isinstance(found, dict | list):
        raise LocalError("file-malformed", f"{_named(place)} must hold a JSON object or an array.")
    return found


def write(document: object) -> str:
    """Write a document as YAML."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _value(place: str) -> Any:  # Any: as above
    named = _named(place)
    try:
        text = sys.stdin.read() if place == STDIN else Path(place).read_text(encoding="utf-8")
        return plain_yaml.Document(text).value
    except OSError as error:
        raise LocalError("file-unreadable", f"{named} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise LocalError("file-malformed", f"{named} is not UTF-8: {error}.") from error
    except plain_yaml.NotPlain as error:
        wrong = f"{named}, line {error.line}: {error.message}."
        raise LocalError("file-malformed", wrong) from error


def _named(place: str) -> str:
    return "standard input" if place == STDIN else place
