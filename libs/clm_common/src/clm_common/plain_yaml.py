"""Plain YAML with the line of everything: what a person writes is read as it looks, or refused.

Refused, with the line: duplicate keys, keys that are not text (`on:` is the boolean true in YAML),
anchors and aliases, tags, and values that JSON does not have (dates, infinities).
"""

from __future__ import annotations

import math
from typing import Final, Protocol

import yaml

Plain = dict[str, "Plain"] | list["Plain"] | str | int | float | bool | None
Loc = tuple[str | int, ...]

_MAPPING: Final = "tag:yaml.org,2002:map"
_SEQUENCE: Final = "tag:yaml.org,2002:seq"


class NotPlain(Exception):
    """The text is no plain YAML: `line` says where (counted from 1), the message what to do."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


class Document:
    """A parsed text: its plain value, and the line on which each part of it stands."""

    def __init__(self, text: str) -> None:
        """Parse one YAML document.

        Raises:
            NotPlain: the text is not YAML, or more than plain YAML.
        """
        self._lines: dict[Loc, int] = {(): 1}
        try:
            self._loader = _Loader(text)
            node = self._loader.get_single_node()
            self.value: Plain = None if node is None else self._read(node, ())
        except yaml.MarkedYAMLError as error:
            raise NotPlain(_sentence(error), _line(error.problem_mark)) from error
        except yaml.YAMLError as error:
            raise NotPlain(f"not YAML: {error}", 1) from error
        except RecursionError as error:
            raise NotPlain("nested too deeply; no definition needs that", 1) from error

    def path(self, loc: Loc) -> Loc:
        """Keep those parts of a location that exist in the text, in order."""
        found: Loc = ()
        for part in loc:
            if (*found, part) in self._lines:
                found = (*found, part)
        return found

    def line(self, loc: Loc) -> int:
        """Give the line of a location, or of the nearest part around it that exists."""
        return self._lines[self.path(loc)]

    def _read(self, node: yaml.Node, loc: Loc) -> Plain:
        self._lines.setdefault(loc, _line(node.start_mark))
        if isinstance(node, yaml.MappingNode) and node.tag == _MAPPING:
            return self._mapping(node, loc)
        if isinstance(node, yaml.SequenceNode) and node.tag == _SEQUENCE:
            return [self._read(item, (*loc, index)) for index, item in enumerate(node.value)]
        if not isinstance(node, yaml.ScalarNode):
            raise NotPlain(f"tag {node.tag} is not read; leave it out", _line(node.start_mark))
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, loc: Loc) -> Plain:
        mapping: dict[str, Plain] = {}
        for key_node, value_node in node.value:
            key, line = self._key(key_node), _line(key_node.start_mark)
            if key in mapping:
                first = self._lines[(*loc, key)]
                raise NotPlain(f"key {key!r} stands on line {first} already; keep one", line)
            self._lines[(*loc, key)] = line
            mapping[key] = self._read(value_node, (*loc, key))
        return mapping

    def _key(self, node: yaml.Node) -> str:
        key = self._scalar(node) if isinstance(node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            written = node.value if isinstance(node, yaml.ScalarNode) else "this"
            raise NotPlain(f'keys are text; write "{written}" in quotes', _line(node.start_mark))
        return key

    def _scalar(self, node: yaml.ScalarNode) -> Plain:
        try:
            value = self._loader.construct_object(node)
        except ValueError as error:
            raise NotPlain(f"{node.value!r}: {error}; quote it", _line(node.start_mark)) from error
        if value is None or isinstance(value, str | bool | int):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        raise NotPlain(
            f"{node.value!r} is neither text nor a number; quote it if it is text",
            _line(node.start_mark),
        )


class _Loader(yaml.SafeLoader):
    """The safe loader without anchors and aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call] # no stub
            raise NotPlain("aliases are not read; write the value out", _line(event.start_mark))
        return super().compose_node(parent, index)


class _Mark(Protocol):
    """A place in the text, counted from 0."""

    line: int


def _line(mark: _Mark | None) -> int:
    return 1 if mark is None else mark.line + 1


def _sentence(error: yaml.MarkedYAMLError) -> str:
    return ", ".join(part for part in (error.context, error.problem) if part)
