"""What is said about a setting that is missing or wrong: the variable, what it must be, the fix."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

PREFIX: Final = "CLM_"


def variable(field: str) -> str:
    """Give the environment variable of a field."""
    return f"{PREFIX}{field.upper()}"


def sentence(fields: Mapping[str, FieldInfo], problem: ErrorDetails) -> str:
    """Say what is wrong with one variable, and the fix."""
    if not problem["loc"]:
        return problem["msg"]
    field_name = str(problem["loc"][0])
    name, field = variable(field_name), fields[field_name]
    example = f"; for example {name}={field.examples[0]}" if field.examples else ""
    if problem["type"] == "missing":
        return f"{name} is not set: {field.description}{example}"
    shown = "…" if _is_secret(field) else problem["input"]
    return f"{name}={shown}: {_demand(field, problem)}{example}"


def _demand(field: FieldInfo, problem: ErrorDetails) -> str:
    """Say what the value must be."""
    context: dict[str, Any] = problem.get("ctx", {})  # Any: pydantic's own
    kind = problem["type"]
    if kind == "literal_error":
        return f"must be {context['expected']}"
    if kind.startswith(("int", "float", "greater", "less", "finite")):
        return f"must be a {_number(field)}"
    if kind in {"url", "value_error"}:
        return problem["msg"]
    return f"cannot be right ({field.description})"


def _number(field: FieldInfo) -> str:
    whole = "int" in str(field.annotation)
    bounds = {key: str(value) for key, value in _bounds(field)}
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    noun = "whole number" if whole else "number"
    if low is not None and high is not None:
        return f"{noun} {'above' if 'gt' in bounds else 'from'} {low} to {high}"
    return noun


def _bounds(field: FieldInfo) -> Iterator[tuple[str, object]]:
    """Give the limits of a number, also where they stand inside `Port | None`."""
    parts = (*field.metadata, *(meta for arg in get_args(field.annotation) for meta in _inner(arg)))
    for part in parts:
        for key in ("ge", "gt", "le", "lt"):
            if (value := getattr(part, key, None)) is not None:
                yield key, value


def _inner(annotation: object) -> Iterator[object]:
    for meta in getattr(annotation, "__metadata__", ()):
        yield from getattr(meta, "metadata", (meta,))


def _is_secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)
