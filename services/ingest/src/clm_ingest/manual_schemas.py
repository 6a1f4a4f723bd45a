"""What the tracking routes take and give, as the OpenAPI document shows it."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from clm_common.contracts.touchpoint import Touchpoint


class Batch(Struct, rename="camel", omit_defaults=True):
    """Events sent together; each gets its own verdict.

    Attributes:
        batch: up to 2,500 events.
        sent_at: when it was sent, by the sender's clock.
        write_key: the source's write key, where no header carries it.
        historical: true: these events are imported from the past, and nobody is written to
            because of them.
    """

    batch: list[Touchpoint]
    sent_at: str | None = None
    write_key: str | None = None
    historical: bool = False


class Rejection(Struct, rename="camel"):
    """An event of a batch that is in the quarantine.

    Attributes:
        index: its place in the batch.
        message_id: its id, when it had a usable one.
        code: why it was refused.
    """

    index: int
    message_id: str | None
    code: str


class Accepted(Struct, omit_defaults=True):
    """Every admitted event is on Kafka, and every refused one in the quarantine.

    Attributes:
        success: always true.
        rejected: the events of a batch that were refused.
    """

    success: bool
    rejected: list[Rejection] = []


class TrackingError(Struct):
    """What went wrong.

    Attributes:
        code: a stable name, for programs.
        message: what kind of error it is, for people.
        detail: what is wrong this time and what to do.
    """

    code: str
    message: str
    detail: str


class MergeProperty(Struct):
    """One of the two ids of a merge.

    Attributes:
        type: `userId` or `anonymousId`.
        value: the id.
    """

    type: str
    value: str


class Merge(Struct, rename="camel", omit_defaults=True):
    """Says that two ids are of one customer.

    Attributes:
        merge_properties: the two.
        message_id: the sender's id of this event.
    """

    merge_properties: Annotated[list[MergeProperty], Meta(min_length=2, max_length=2)]
    message_id: str | None = None


class CloudEvent(Struct, omit_defaults=True):
    """A CloudEvent 1.0 in the JSON format; extensions are further attributes.

    Attributes:
        specversion: of CloudEvents.
        id: unique within `source`.
        source: who made it.
        type: what happened; `clm.touchpoint.<call>.v1` names one of our calls.
        subject: the customer, unless an extension or the data name one.
        time: when it happened.
        datacontenttype: of `data`; JSON if it is left out.
        dataschema: where `data` is described.
        data: the touchpoint's properties, or the body of the call.
        data_base64: the same, where it is no JSON.
        userid: the customer's id.
        anonymousid: the device's id.
        event: the touchpoint's name, where `type` shall not be it.
    """

    specversion: Literal["1.0"]
    id: Annotated[str, Meta(min_length=1)]
    source: Annotated[str, Meta(min_length=1)]
    type: Annotated[str, Meta(min_length=1)]
    subject: str | None = None
    time: str | None = None
    datacontenttype: str | None = None
    dataschema: str | None = None
    data: Any = None  # Any: the sender's own JSON
    data_base64: str | None = None
    userid: str | None = None
    anonymousid: str | None = None
    event: str | None = None


class RudderSource(Struct, rename="camel"):
    """A source as RudderStack's browser SDK reads it.

    Attributes:
        id: the source's.
        name: the source's.
        write_key: as it was sent.
        enabled: always true.
        workspace_id: the workspace's key.
        destinations: none: the server has them.
        updated_at: an instant.
        config: no statistics are collected.
    """

    id: str
    name: str
    write_key: str
    enabled: bool
    workspace_id: str
    destinations: list[dict[str, Any]]  # Any: there are none
    updated_at: str
    config: dict[str, Any]  # Any: switches of the SDK


class SourceConfig(Struct):
    """What RudderStack's browser SDK loads first.

    Attributes:
        source: the source.
    """

    source: RudderSource


class Result(Struct, omit_defaults=True):
    """What became of one event.

    Attributes:
        result: `drop` if it is in the quarantine.
        details: why.
    """

    result: Literal["ok", "drop"]
    details: str | None = None


class Results(Struct):
    """What became of each event of a request in PostHog's second protocol.

    Attributes:
        results: by the event's `uuid`.
    """

    results: dict[str, Result]
