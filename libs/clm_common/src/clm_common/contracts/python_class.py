"""The public message as a Python class that depends on nothing: written out of its JSON Schema.

For the services of others, who have no use for our library. See `docs/reference/clients`.
"""

from __future__ import annotations

import textwrap
from typing import Any, Final

from clm_common.contracts import schema

Node = dict[str, Any]  # Any: a part of a JSON Schema

_TYPES: Final = {"string": "str", "integer": "int", "boolean": "bool", "null": "None"}
_WIDTH: Final = 96

_MODULE: Final = '''\
"""{title} Generated from its JSON Schema; do not edit."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class {name}:
    """{description}

    Attributes:
{attributes}
    """

{fields}


def read(value: bytes) -> {name}:
    """Read a record's value; what later versions of the contract add is left out.

    Raises:
        ValueError: it is not JSON.
        TypeError: a required field is missing.
    """
    found = json.loads(value)
    known = [it.name for it in fields({name}) if it.name in found]
    return {name}(**{{name: found[name] for name in known}})
'''


def module(name: str) -> str:
    """Give the text of a module with the class of one message, and how to read it."""
    document = schema.documents()[f"{name}.json"]
    properties = document["properties"]
    needed = [it for it in document["required"] if "enum" not in properties[it]]
    optional = [it for it in properties if it not in document["required"]]
    lines = [f"    {it}: {_annotation(properties[it])}" for it in needed]
    lines += [
        f"    {it}: {_annotation(properties[it])} = {_default(properties[it])}" for it in optional
    ]
    attributes = "\n".join(_attribute(it, properties[it]) for it in (*needed, *optional))
    return _MODULE.format(
        title=f"The message {name}.",
        name=name,
        description=document["description"],
        attributes=attributes,
        fields="\n".join(lines),
    )


def _annotation(node: Node) -> str:
    choices = node.get("anyOf", [node])
    return " | ".join(_TYPES[each["type"]] for each in choices)


def _default(node: Node) -> str:
    return repr(node["default"])


def _attribute(name: str, node: Node) -> str:
    text = f"{name}: {node['description']}"
    return textwrap.fill(
        text, _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 12, break_long_words=False
    )
