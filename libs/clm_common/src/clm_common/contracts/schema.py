"""JSON Schemas of the messages, from the classes that read and write them.

A class's docstring is the description of its schema, and the lines of its Attributes section those
of its properties. Draft 2020-12.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct

from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.erasure import ErasureConfirmed
from clm_common.contracts.journey import IdentityMoved, ProfileErased, TouchpointApplied
from clm_common.contracts.position import Published
from clm_common.contracts.stage_change import StageChange
from clm_common.contracts.touchpoint import Touchpoint

Schema = dict[str, Any]  # Any: a JSON Schema is any JSON

MESSAGES: Final[tuple[type[Struct], ...]] = (
    Touchpoint,
    TouchpointApplied,
    StageChange,
    IdentityMoved,
    ProfileErased,
    ErasureConfirmed,
    DeadLetter,
    Published,
)

_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_ATTRIBUTE: Final = re.compile(r"^    (\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)

# What a sender may write although our own code only ever writes text.
_CUSTOMER_ID: Final[Schema] = {"type": ["string", "number", "null"], "default": None}


def components(template: str) -> dict[str, Schema]:
    """Give the schema of every message by the name of its class.

    Args:
        template: how one refers to another, for example `#/components/schemas/{name}`.
    """
    _, found = msgspec.json.schema_components(MESSAGES, ref_template=template)
    for message in MESSAGES:
        _describe(found[message.__name__], message)
    found["TouchpointApplied"]["properties"]["touchpoint"] |= {
        "$ref": template.format(name="Touchpoint")
    }
    for name in ("userId", "anonymousId"):
        found["Touchpoint"]["properties"][name] |= _CUSTOMER_ID
        del found["Touchpoint"]["properties"][name]["anyOf"]
    return found


def documents() -> dict[str, Schema]:
    """Give one self-contained JSON Schema per message, by file name."""
    found = components("#/$defs/{name}")
    return {
        f"{name}.json": {
            "$schema": _DRAFT,
            "$id": f"{name}.json",
            **schema,
            **_needed(schema, found),
        }
        for name, schema in found.items()
    }


def _needed(schema: Schema, every: dict[str, Schema]) -> Schema:
    """Give the definitions that a schema refers to, and those that these refer to."""
    found: dict[str, Schema] = {}
    waiting = list(references(schema))
    while waiting:
        name = waiting.pop().rsplit("/", 1)[-1]
        if name not in found:
            found[name] = every[name]
            waiting.extend(references(every[name]))
    return {"$defs": found} if found else {}


def references(node: object) -> Iterable[str]:
    """Give every `$ref` within a JSON document."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield str(value)
            else:
                yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def _describe(schema: Schema, message: type[Struct]) -> None:
    text, attributes = describe(message)
    schema["description"] = text
    encoded = dict(zip(message.__struct_fields__, message.__struct_encode_fields__, strict=True))
    for name, what in attributes.items():
        schema["properties"][encoded[name]]["description"] = what
        if "RFC 3339" in what:
            schema["properties"][encoded[name]]["format"] = "date-time"
    tag = message.__struct_config__.tag_field
    if tag is not None:
        schema["properties"][tag]["description"] = "which kind of message this is"


def describe(message: type[Struct]) -> tuple[str, dict[str, str]]:
    """Give a class's own words, and those of its Attributes section by field."""
    text, _, attributes = inspect.getdoc(message).partition("\n\nAttributes:\n")  # type: ignore[union-attr] # every message has one
    lines = {name: re.sub(r"\s+", " ", what) for name, what in _ATTRIBUTE.findall(attributes)}
    return text, lines
