"""Holds events against a tracking plan, and says what becomes of those that violate it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from jsonschema_rs import ValidationError, Validator
from msgspec import Raw, Struct

from clm_common.contracts.touchpoint import TouchpointType
from clm_ingest.core.amending import Fields, context_of
from clm_ingest.core.glimpse import UNREADABLE, Fault
from clm_ingest.core.plan import Mode, Schema, TrackingPlan, Unknown, compiled

UNKNOWN_EVENT: Final = "unknown_event"
"""The rule that an event violates which the plan does not know."""

Name = tuple[str, str | None]
"""The kind of a call and the name of a track call."""

_SUBJECT: Final[Mapping[str, str]] = {"identify": "traits", "group": "traits"}
_MOST: Final = 20
_LONGEST: Final = 300
_COMPOSED: Final = frozenset({"$ref", "allOf", "anyOf", "oneOf", "if", "$dynamicRef"})
_encode: Final = msgspec.json.Encoder().encode


class Violation(Struct, frozen=True):
    """One rule that an event violates; it holds no value of the event.

    Attributes:
        path: where in the event, a JSON pointer; places in lists are `*`.
        rule: where in the schema, a JSON pointer.
        message: what is wrong, a sentence.
        properties: the names at the top that have to go for it to be right.
    """

    path: str
    rule: str
    message: str
    properties: tuple[str, ...] = ()


class Judgement(Struct, frozen=True):
    """What the plan says of one event.

    Attributes:
        event: its name, or its kind.
        version: of the schema it was held against; 0 for an event the plan does not know.
        violations: what it violates.
        omitted: the properties that were removed.
        fault: why it goes to the quarantine.
    """

    event: str
    version: int
    violations: Sequence[Violation]
    omitted: Sequence[str] = ()
    fault: Fault | None = None


class Rule(Struct, frozen=True):
    """One event in one version, ready to be held against events.

    Attributes:
        version: its version.
        validator: checks the subject.
    """

    version: int
    validator: Validator


class Plan:
    """A tracking plan, compiled once."""

    def __init__(self, plan: TrackingPlan) -> None:
        """Compile it.

        Args:
            plan: the document.
        """
        self.mode: Mode = plan.mode
        self.unknown: Unknown = plan.unknown
        self._rules: dict[Name, dict[int, Rule]] = {}
        for each in sorted(plan.events, key=lambda event: event.version):
            schema = _closed(each.json_schema) if plan.mode == "drop" else each.json_schema
            rule = Rule(each.version, compiled(schema))
            self._rules.setdefault((each.type, each.event), {})[each.version] = rule

    def judge(
        self, fields: Fields, kind: TouchpointType, event: str | None, message_id: str
    ) -> Judgement | None:
        """Hold one event against the plan; in mode `drop` its fields are changed.

        Args:
            fields: the event's.
            kind: its type.
            event: the name of a track call.
            message_id: its id.

        Returns:
            None if nothing is to be said of it.
        """
        versions = self._rules.get((kind, event if kind == "track" else None))
        context = context_of(fields)
        version = _version_in(context)
        rule = _chosen(versions, version)
        if rule is None:
            return self._unknown(event or kind, message_id, version) if kind == "track" else None
        place, holder = _subject(fields, context, kind)
        subject = _read(holder, place)
        violations = _violations(rule, subject, f"/{place}")
        if not violations:
            return None
        named = event or kind
        if self.mode == "quarantine":
            fault = Fault("plan.violation", _sentence(named, rule, violations), message_id)
            return Judgement(named, rule.version, violations, fault=fault)
        omitted: list[str] = []
        if self.mode == "drop" and isinstance(subject, dict):
            omitted = _omit(subject, violations, holder, place)
        if omitted:
            _tell(fields, holder, context, omitted)
        return Judgement(named, rule.version, violations, omitted)

    def _unknown(self, named: str, message_id: str, version: int | None) -> Judgement:
        detail = f"the tracking plan does not know {named!r}"
        if version is not None:
            detail += f" in version {version}"
        detail += "; add it to the plan, or allow unknown events"
        violation = Violation("/event", f"/{UNKNOWN_EVENT}", detail)
        quarantined = self.unknown == "quarantine"
        fault = Fault("plan.unknown_event", detail, message_id) if quarantined else None
        return Judgement(named, 0, [violation], fault=fault)


def _chosen(versions: Mapping[int, Rule] | None, version: int | None) -> Rule | None:
    """Give the rule of the version an event names, or the newest."""
    if versions is None:
        return None
    return versions.get(max(versions) if version is None else version)


def _version_in(context: Fields | None) -> int | None:
    """Give the version an event says it has; what is no version is none."""
    protocols = _read(context, "protocols") if context and "protocols" in context else None
    if not isinstance(protocols, dict):
        return None
    named = protocols.get("event_version", protocols.get("version"))
    text = str(named) if isinstance(named, int | str) and not isinstance(named, bool) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None  # noqa: PLR2004 - beyond what a plan may have


def _subject(fields: Fields, context: Fields | None, kind: str) -> tuple[str, Fields]:
    """Give the name of what the schema describes, and what it stands in.

    Some SDKs send the traits of an identify call in its context only.
    """
    place = _SUBJECT.get(kind, "properties")
    if place == "traits" and "traits" not in fields and context and "traits" in context:
        return place, context
    return place, fields


def _read(holder: Fields | None, name: str) -> Any:  # Any: the sender's own JSON
    """Read a value; one that is absent or null is an empty object."""
    raw = None if holder is None else holder.get(name)
    if raw is None:
        return {}
    try:
        found = msgspec.json.decode(raw)
    except UNREADABLE:
        return None
    return {} if found is None else found


def _violations(rule: Rule, subject: object, place: str) -> list[Violation]:
    if rule.validator.is_valid(subject):
        return []
    found = [_violation(error, place) for error in rule.validator.iter_errors(subject)]
    return found[:_MOST] or [Violation(place, "/", "it does not fit its schema")]


def _violation(error: ValidationError, place: str) -> Violation:
    path = error.instance_path
    top = path[:1] if path else getattr(error.kind, "unexpected", [])
    where = place + "".join(_step(part) for part in path)
    rule = "".join(f"/{_escaped(str(part))}" for part in error.schema_path)
    properties = tuple(str(name) for name in top)
    return Violation(_clean(where), _clean(rule), _clean(error.message), properties)


def _omit(
    subject: dict[str, object], violations: Sequence[Violation], holder: Fields, place: str
) -> list[str]:
    """Take the properties that violate out of the event, and give their names."""
    unfit = {name for violation in violations for name in violation.properties}
    omitted = [name for name in subject if name in unfit]
    if omitted:
        kept: dict[str, Raw] = msgspec.json.decode(holder[place], type=dict[str, Raw])
        rest = {name: value for name, value in kept.items() if name not in unfit}
        holder[place] = Raw(_encode(rest))
    return omitted


def _tell(fields: Fields, holder: Fields, context: Fields | None, omitted: Sequence[str]) -> None:
    """Write into the event what was taken out of it."""
    context = holder if holder is not fields else context
    if context is None:
        return  # what is no object cannot say it
    protocols = _read(context, "protocols")
    protocols = protocols if isinstance(protocols, dict) else {}
    context["protocols"] = Raw(_encode({**protocols, "omitted": list(omitted)}))
    fields["context"] = Raw(_encode(context))


def _closed(schema: Schema) -> Schema:
    """Let a schema that names properties know no others, unless it says so itself."""
    says = _COMPOSED | {"additionalProperties", "unevaluatedProperties"}
    if "properties" not in schema or not says.isdisjoint(schema):
        return schema
    return {**schema, "additionalProperties": False}


def _sentence(named: str, rule: Rule, violations: Sequence[Violation]) -> str:
    said = "; ".join(f"{it.path}: {it.message} (rule {it.rule})" for it in violations[:5])
    more = f"; and {len(violations) - 5} more" if len(violations) > 5 else ""  # noqa: PLR2004 - as above
    return f"{named!r} violates version {rule.version} of its schema: {said}{more}"


def _clean(text: str) -> str:
    """Give text that is short and can be stored, whatever names a sender chose."""
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return short.replace("\x00", "\ufffd").encode(errors="replace").decode()


def _step(part: str | int) -> str:
    return "/*" if isinstance(part, int) else f"/{_escaped(part)}"


def _escaped(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")
