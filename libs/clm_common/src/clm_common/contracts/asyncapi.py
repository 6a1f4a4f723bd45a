"""The AsyncAPI 3 document: every topic, what flows through it, and how it is configured."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from clm_common.contracts import examples, schema, sealed, topics
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.erasure import ErasureConfirmed
from clm_common.contracts.examples import Example
from clm_common.contracts.journey import (
    PUBLIC_ERASED,
    TYPE_OF,
    IdentityMoved,
    ProfileErased,
    TouchpointApplied,
)
from clm_common.contracts.position import Published
from clm_common.contracts.sealing import TYPE
from clm_common.contracts.stage_change import PUBLIC_TYPE, StageChange
from clm_common.contracts.topics import Topic
from clm_common.contracts.touchpoint import TYPES, Touchpoint

Node = dict[str, Any]  # Any: AsyncAPI is any JSON


class Flow(Struct, frozen=True):
    """What flows through one topic.

    Attributes:
        topic: where.
        key: what the record's key is.
        messages: the classes of the values, with the CloudEvents types each may have; a class
            without a type has no CloudEvents headers.
        writers: the services that publish.
        readers: our services that subscribe.
        examples: messages as they are published.
        sealed: whether values may be sealed, by a setting.
    """

    topic: Topic
    key: str
    messages: dict[type[Struct], tuple[str, ...]]
    writers: tuple[str, ...]
    readers: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    sealed: bool = False


_PROFILE: Final = "the profile's id"
_RIVER: Final[dict[type[Struct], tuple[str, ...]]] = {
    message: (TYPE_OF[message],)
    for message in (TouchpointApplied, StageChange, IdentityMoved, ProfileErased)
}

FLOWS: Final = (
    Flow(
        topics.TOUCHPOINTS,
        "workspace and customer: `{workspace}:{userId, else anonymousId}`",
        {Touchpoint: tuple(f"clm.touchpoint.{kind}.v1" for kind in TYPES)},
        writers=("ingest", "engagement"),
        readers=("stage-engine",),
    ),
    Flow(
        topics.TOUCHPOINTS_DLQ,
        "the refused record's key, or the message id",
        {DeadLetter: ()},
        writers=("ingest", "stage-engine"),
    ),
    Flow(
        topics.JOURNEY,
        _PROFILE,
        _RIVER,
        writers=("stage-engine",),
        readers=("metrics", "engagement"),
        sealed=True,
    ),
    Flow(
        topics.JOURNEY_DLQ,
        "the refused record's key",
        {DeadLetter: ()},
        writers=("metrics", "engagement"),
    ),
    Flow(
        topics.STAGE_CHANGES,
        _PROFILE,
        {StageChange: (PUBLIC_TYPE,), ProfileErased: (PUBLIC_ERASED,)},
        writers=("stage-engine",),
        examples=examples.STAGE_CHANGES,
    ),
    Flow(
        topics.PUBLISHED,
        "the partition's number",
        {Published: ()},
        writers=("stage-engine",),
        readers=("stage-engine",),
    ),
    Flow(
        topics.ERASURES,
        "the erasure's id",
        {ErasureConfirmed: ()},
        writers=("metrics", "engagement"),
        readers=("stage-engine",),
    ),
    Flow(
        topics.ERASURES_DLQ,
        "the refused record's key",
        {DeadLetter: ()},
        writers=("stage-engine",),
    ),
)

_ABOUT: Final = """Everything that crosses a topic of CLM.
Messages are CloudEvents 1.0 in Kafka's binary mode: attributes are `ce_*` headers, values are JSON,
on `clm.journey` sealed where a setting says so.
A key's partition is its CRC-32 modulo the number of partitions (librdkafka's "consistent").
stage-engine writes in transactions: subscribe with `isolation.level=read_committed`.
Fields are only ever added, and only optional ones: ignore what you do not know."""

_ATTRIBUTES: Final = {
    "ce_specversion": "the version of CloudEvents",
    "ce_id": "unique within its source; a repeat carries the same one",
    "ce_source": "who made it, for example `/workspaces/acme/sources/website`",
    "ce_time": "when it happened, RFC 3339",
    "ce_subject": "the profile it is about",
    "ce_receivedtime": "when ingest received it, RFC 3339",
    "ce_untimed": "`1` where the event carried no usable time, so that `ce_time` is when it came",
    "ce_marks": "`bot`, `internal`, `historical`: those that hold, by commas; else absent",
}


def document() -> Node:
    """Give the whole document."""
    messages = {
        _name(flow, name): message for flow in FLOWS for name, message in _messages(flow).items()
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "CLM",
            "version": "1.0.0",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {flow.topic.name: _channel(flow) for flow in FLOWS},
        "operations": dict(operation for flow in FLOWS for operation in _operations(flow)),
        "components": {
            "messages": messages,
            "schemas": schema.components("#/components/schemas/{name}"),
        },
    }


def _name(flow: Flow, message: str) -> str:
    """Name a message by topic, too: one class may have other headers elsewhere."""
    return f"{flow.topic.name}.{message}"


def _messages(flow: Flow) -> dict[str, Node]:
    found = {cls.__name__: _message(flow, cls) for cls in flow.messages}
    return found | {sealed.NAME: _sealed()} if flow.sealed else found


def _channel(flow: Flow) -> Node:
    topic = flow.topic
    config = topic.config()
    kafka: Node = {
        "topic": topic.name,
        "partitions": topic.partitions,
        "topicConfiguration": {"cleanup.policy": [config["cleanup.policy"]]},
        "bindingVersion": "0.5.0",
    }
    if "retention.ms" in config:
        kafka["topicConfiguration"]["retention.ms"] = int(config["retention.ms"])
    return {
        "address": topic.name,
        "title": topic.title,
        "description": f"{_audience(flow)}\nKey: {flow.key}.",
        "messages": {
            name: {"$ref": f"#/components/messages/{_name(flow, name)}"} for name in _messages(flow)
        },
        "bindings": {"kafka": kafka},
    }


def _audience(flow: Flow) -> str:
    public = "A public contract" if flow.topic.public else "Internal to CLM"
    readers = f", read by {' and '.join(flow.readers)}" if flow.readers else ""
    return f"{public}; written by {' and '.join(flow.writers)}{readers}."


def _operations(flow: Flow) -> list[tuple[str, Node]]:
    channel = {"$ref": f"#/channels/{flow.topic.name}"}
    sent = [
        (f"{service}.send.{flow.topic.name}", {"action": "send", "channel": channel})
        for service in flow.writers
    ]
    received = [
        (f"{service}.receive.{flow.topic.name}", {"action": "receive", "channel": channel})
        for service in flow.readers
    ]
    return sent + received


def _message(flow: Flow, message: type[Struct]) -> Node:
    text, _ = schema.describe(message)
    found: Node = {
        "name": message.__name__,
        "title": text.partition("\n")[0],
        "description": f"{text}\n\n{_rules(message)}".strip(),
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{message.__name__}"},
    }
    if types := flow.messages[message]:
        found["headers"] = _headers(flow, types)
        if flow.sealed and message is ProfileErased:  # plain among sealed ones, and like them
            found["headers"]["required"].remove("ce_time")
    if shown := [each.node() for each in flow.examples if isinstance(each.message, message)]:
        found["examples"] = shown
    return found


def _sealed() -> Node:
    return {
        "name": sealed.NAME,
        "title": sealed.TITLE,
        "description": sealed.DESCRIPTION.strip(),
        "contentType": sealed.CONTENT_TYPE,
        "payload": sealed.PAYLOAD,
        "headers": _attributes(sealed.HEADERS, (TYPE,), sealed.CONTENT_TYPE),
        "examples": [sealed.example()],
    }


def _rules(message: type[Struct]) -> str:
    """Give what the module of a message says beyond its first sentence."""
    module = inspect.getmodule(message)
    _, _, rules = (inspect.getdoc(module) or "").partition("\n\n")
    return rules


def _headers(flow: Flow, types: tuple[str, ...]) -> Node:
    if flow.key == _PROFILE:
        names = ["ce_specversion", "ce_id", "ce_source", "ce_time", "ce_subject"]
    else:
        names = [name for name in _ATTRIBUTES if name != "ce_subject"]
    return _attributes(names, types, "application/json")


def _attributes(names: Sequence[str], types: Sequence[str], content: str) -> Node:
    """Describe headers: some attributes, the type, and that of the value."""
    properties: Node = {
        name: {"type": "string", "description": _ATTRIBUTES[name]} for name in names
    }
    properties["ce_specversion"]["const"] = "1.0"
    properties["ce_type"] = {"type": "string", "enum": list(types)}
    properties["content-type"] = {"type": "string", "const": content}
    required = ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "content-type"]
    return {
        "type": "object",
        "required": [name for name in required if name in properties],
        "properties": properties,
    }
