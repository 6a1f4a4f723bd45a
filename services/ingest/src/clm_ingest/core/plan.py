"""A tracking plan: which events a team means to send, and what each of them must look like.

The document is strict. A schema describes the `properties` of a track, page or screen call, and the
`traits` of an identify or group call. Schemas are bounded and refer to nothing outside themselves.
"""

from typing import Annotated, Any, Final, Literal

import jsonschema_rs
import msgspec
from jsonschema_rs import RegexOptions, Validator
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from clm_ingest.core.glimpse import LONGEST

Mode = Literal["observe", "quarantine", "drop"]
Unknown = Literal["allow", "quarantine"]
Planned = Literal["track", "identify", "page", "screen", "group"]
Schema = dict[str, Any]  # Any: a JSON Schema

MOST_BYTES: Final = 1024 * 1024
"""Bytes of a whole plan as JSON."""

_MOST_EVENTS: Final = 1_000
_SCHEMA_BYTES: Final = 64 * 1024
_DEEPEST: Final = 64


def compiled(schema: Schema) -> Validator:
    """Make a validator, whose messages hold no values of events.

    Patterns are matched in linear time, formats are checked, and nothing is ever fetched.

    Raises:
        ValueError: it is no JSON Schema, or refers to something outside of itself.
    """
    return jsonschema_rs.validator_for(
        schema,
        mask="…",
        validate_formats=True,
        pattern_options=RegexOptions(),
        offline=True,
    )


def _checked(schema: Schema) -> Schema:
    if _depth(schema) > _DEEPEST:
        raise ValueError(f"a schema may be nested {_DEEPEST} levels deep")
    size = len(msgspec.json.encode(schema))
    if size > _SCHEMA_BYTES:
        raise ValueError(f"a schema may have {_SCHEMA_BYTES:,} bytes, this one has {size:,}")
    try:
        compiled(schema)
    except ValueError as error:
        raise ValueError(f"no schema that can be used: {str(error).splitlines()[0]}") from None
    return schema


def _depth(node: object) -> int:
    """Give how deep a document is nested, as far as it matters."""
    level, depth = [node], 0
    while level and depth <= _DEEPEST:
        depth += 1
        inner: list[object] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
        level = inner
    return depth


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlannedEvent(_Document):
    """One event of a plan, in one version."""

    type: Planned = Field(default="track", description="The kind of call.")
    event: str | None = Field(
        default=None,
        min_length=1,
        max_length=LONGEST,
        pattern=r"^[^\x00]*$",
        description="The name of a track call; other calls have none.",
    )
    version: int = Field(
        default=1,
        ge=1,
        le=1_000_000,
        description="An event names its own in `context.protocols.event_version`; one that names "
        "none is held against the newest.",
    )
    json_schema: Annotated[Schema, AfterValidator(_checked)] = Field(
        alias="schema", description="Describes `properties`, or the `traits` of identify and group."
    )

    @model_validator(mode="after")
    def _is_named(self) -> "PlannedEvent":
        if (self.type == "track") is not (self.event is not None):
            raise ValueError("a track call needs `event`, and no other call has it")
        return self


class TrackingPlan(_Document):
    """What a workspace or a source means to send, and what becomes of everything else."""

    mode: Mode = Field(
        default="observe",
        description="What becomes of an event that violates its schema. `observe`: it is counted. "
        "`quarantine`: it goes to the quarantine as `plan.violation`. `drop`: the properties that "
        "violate, or that the schema does not know, are removed, and `context.protocols.omitted` "
        "names them.",
    )
    unknown: Unknown = Field(
        default="allow",
        description="What becomes of a track call that the plan does not know. It is counted; "
        "`quarantine` sends it to the quarantine as `plan.unknown_event`.",
    )
    events: tuple[PlannedEvent, ...] = Field(
        default=(), max_length=_MOST_EVENTS, description="The events, each in one or more versions."
    )

    @model_validator(mode="after")
    def _is_sound(self) -> "TrackingPlan":
        seen: set[tuple[str, str | None, int]] = set()
        for each in self.events:
            key = each.type, each.event, each.version
            if key in seen:
                named = each.event or each.type
                raise ValueError(f"{named!r} stands there twice in version {each.version}")
            seen.add(key)
        if len(self.model_dump_json(by_alias=True)) > MOST_BYTES:
            raise ValueError(f"a plan may have {MOST_BYTES:,} bytes")
        return self
