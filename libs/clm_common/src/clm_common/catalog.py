"""A catalogue is a folder in which each YAML file is one definition under a strict model.

The file `<key>.yaml` holds the definition with that `key`.
Whatever the model does not know refuses to start, and the error names file, line and what to do.
A model derives from `Definition`, its parts from `Strict`; a rule that a model cannot state is
checked by the caller, who refuses through `Entry.refuse` so that its error has a line too.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from clm_common.errors import DefinitionError
from clm_common.plain_yaml import Document, Loc, NotPlain

__all__ = [
    "KEY_UNKNOWN",
    "Definition",
    "Entry",
    "Key",
    "Loc",
    "Problem",
    "Strict",
    "key_unknown",
    "load",
    "read",
]

KEY_UNKNOWN: Final = "definition.key_unknown"

Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=64)]


class Strict(BaseModel):
    """A part of a definition: frozen, nothing coerced, no unknown key.

    Its validator is built with that of the definition it is part of, when the first is read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class Definition(Strict):
    """What every definition has.

    Attributes:
        key: its name in the system, in kebab-case; the file is called `<key>.yaml`.
        title: its name for people.
        description: what it is for.
    """

    key: Key
    title: str | None = None
    description: str | None = None


M = TypeVar("M", bound=Definition)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that cannot be right, and what to do about it.

    Attributes:
        slug: a stable name, for example `lifecycle.stage_unknown`.
        at: where in the definition, for example `("moves", 2, "to")`.
        message: what is wrong and how to mend it.
    """

    slug: str
    at: Loc
    message: str


@dataclass(frozen=True, slots=True)
class Entry(Generic[M]):
    """A definition and the text it was read from."""

    definition: M
    file: str
    document: Document

    def refuse(self, problems: Iterable[Problem]) -> DefinitionError:
        """Give the error that lists these problems (at least one), each with file and line."""
        return _error(self.file, self.document, problems)


def load(folder: Path, model: type[M]) -> Mapping[str, Entry[M]]:
    """Read every `*.yaml` of a folder, by key, in the order of the keys.

    Raises:
        DefinitionError: the folder is missing, or a file in it cannot be right.
    """
    if not folder.is_dir():
        raise DefinitionError(
            "definition.folder_missing", f"{folder}: no such folder of definitions", file=folder
        )
    misnamed = sorted(folder.glob("*.yml"))
    if misnamed:
        raise DefinitionError(
            "definition.file_name",
            f"{misnamed[0]}: definitions end in .yaml; rename it",
            file=str(misnamed[0]),
        )
    entries = (_file(path, model) for path in sorted(folder.glob("*.yaml")))
    return {entry.definition.key: entry for entry in entries}


def read(text: str, file: str, model: type[M]) -> Entry[M]:
    """Read one definition; `file` is its name in errors, empty where it has none.

    Raises:
        DefinitionError: it cannot be right; the message lists every problem, one a line.
    """
    try:
        document = Document(text)
    except NotPlain as error:
        message = f"{_place(file, error.line)}: {error.message}"
        raise DefinitionError("definition.yaml", message, file=file, line=error.line) from error
    try:
        definition = model.model_validate_json(json.dumps(document.value))
    except ValidationError as error:
        raise _error(file, document, _problems(error, model)) from error
    return Entry(definition, file, document)


def _file(path: Path, model: type[M]) -> Entry[M]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(
            "definition.unreadable", f"{path}: not readable as UTF-8 text: {error}", file=str(path)
        ) from error
    entry = read(text, str(path), model)
    if entry.definition.key != path.stem:
        message = f"key {entry.definition.key!r} and file name differ; call the file"
        problem = Problem(
            "definition.file_name", ("key",), f"{message} {entry.definition.key}.yaml"
        )
        raise entry.refuse([problem])
    return entry


def _error(file: str, document: Document, problems: Iterable[Problem]) -> DefinitionError:
    listed = list(problems)
    lines = [
        f"{_place(file, document.line(it.at))}: {_at(document, it.at)}{it.message}" for it in listed
    ]
    return DefinitionError(
        listed[0].slug, "\n".join(lines), file=file, line=document.line(listed[0].at)
    )


def _place(file: str, line: int) -> str:
    return f"{file}:{line}" if file else f"line {line}"


def _at(document: Document, at: Loc) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in document.path(at))
    path = "".join(parts).removeprefix(".")
    return f"{path}: " if path else ""


def _problems(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    known = _keys_of(model)
    return [_problem(it["type"], it["loc"], it["msg"], known) for it in error.errors()]


@cache
def _keys_of(model: type[BaseModel]) -> set[str]:
    """Collect every key that a model has anywhere, for advice on misspelt ones."""
    return _known_keys(model.model_json_schema())


def _problem(kind: str, loc: Loc, message: str, known: set[str]) -> Problem:
    name = str(loc[-1]) if loc else "the file"
    if kind == "extra_forbidden":
        if name in known:
            message = f"key {name!r} does not belong here; remove it"
            return Problem("definition.key_misplaced", loc, message)
        close = difflib.get_close_matches(name, sorted(known), n=1)
        return Problem(KEY_UNKNOWN, loc, key_unknown(name, close[0] if close else None))
    if kind == KEY_UNKNOWN:
        return Problem(KEY_UNKNOWN, loc, message)
    if kind == "missing":
        return Problem("definition.key_missing", loc, f"key {name!r} is missing; add it")
    if kind == "too_short":
        return Problem("definition.empty", loc, "is empty; list at least one")
    return Problem("definition.value", loc, message.removeprefix("Value error, "))


def key_unknown(name: str, meant: str | None) -> str:
    """Say that a key is unknown, and which one was meant, if one can be told.

    A model that tells itself what its keys are raises it as `PydanticCustomError(KEY_UNKNOWN, …)`.
    """
    return f"unknown key {name!r}; {f'did you mean {meant!r}?' if meant else 'remove it'}"


def _known_keys(schema: Any) -> set[str]:  # Any: a JSON Schema is any JSON
    """Collect every property name of a JSON Schema."""
    if isinstance(schema, list):
        return set[str]().union(*map(_known_keys, schema))
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", ())).union(*map(_known_keys, schema.values()))
