"""The route table in the OpenAPI document: the shim answers these routes, so FastAPI knows none."""

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from fastapi import FastAPI

from clm_ingest.manual_schemas import TrackingError
from clm_ingest.table import Doc, Route, Takes

Json = dict[str, Any]  # Any: a JSON document

_REF: Final = "#/components/schemas/{name}"
_PARAMETER: Final = re.compile(r"\{(\w+)\}")
_NOT_NAME: Final = re.compile(r"\W+")

_ERRORS: Final = {
    400: "The body cannot be read, or a single event is bad (it is in the quarantine).",
    401: "The write key is missing, unknown, or of a disabled source; or a signature is not good.",
    403: "The source's policy does not let this origin send; or a hook is disabled.",
    404: "There is nothing of this name (any more).",
    408: "The body did not arrive in time.",
    413: "The body, the batch or a single event is too large.",
    415: "The content encoding or the format is not supported.",
    429: "The source sends more than its policy allows.",
    503: "Kafka or the key store is away, or too much is waiting: send it again.",
}
_WAIT: Final = (429, 503)
_SECURITY: Final[list[Json]] = [
    {"writeKey": []},
    {"writeKeyBearer": []},
    {"writeKeyHeader": []},
    {"writeKeyQuery": []},
    {},  # it may stand in the body
]
_SCHEMES: Final[Json] = {
    "writeKey": {"type": "http", "scheme": "basic", "description": "The write key as user name."},
    "writeKeyBearer": {"type": "http", "scheme": "bearer", "description": "The write key."},
    "writeKeyHeader": {"type": "apiKey", "in": "header", "name": "X-Write-Key"},
    "writeKeyQuery": {"type": "apiKey", "in": "query", "name": "writeKey"},
}


def document_routes(app: FastAPI, routes: Sequence[Route]) -> None:
    """Add the routes of a table to an app's OpenAPI document."""
    generate = app.openapi

    def openapi() -> Json:
        fresh = app.openapi_schema is None
        document = generate()
        if fresh:
            _add(document, routes)
        return document

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI documents this way to extend it


def _add(document: Json, routes: Sequence[Route]) -> None:
    components: Json = document.setdefault("components", {})
    schemas, named = _schemas(routes)
    components.setdefault("schemas", {}).update(named)
    components.setdefault("securitySchemes", {}).update(_SCHEMES)
    for route in routes:
        for path in route.paths:
            operation = _operation(route, path, schemas)
            document["paths"].setdefault(path, {})[route.method.lower()] = operation


def _schemas(routes: Sequence[Route]) -> tuple[dict[object, Json], Json]:
    """Give the schema of every type that the routes take and give, and what these refer to."""
    types: list[object] = [TrackingError]
    for route in routes:
        types += [taken.schema for taken in route.doc.takes]
        if route.doc.gives is not None and not isinstance(route.doc.gives, str):
            types.append(route.doc.gives)
    types = list(dict.fromkeys(types))
    schemas, named = msgspec.json.schema_components(types, ref_template=_REF)
    return dict(zip(types, schemas, strict=True)), named


def _operation(route: Route, path: str, schemas: dict[object, Json]) -> Json:
    doc = route.doc
    operation: Json = {
        "summary": doc.summary,
        "operationId": _NOT_NAME.sub("_", f"{route.method.lower()}{path}").strip("_"),
        "tags": [doc.tag],
        "responses": {"200": _success(doc, schemas)}
        | {str(status): _error(status, schemas) for status in doc.errors},
    }
    if doc.description:
        operation["description"] = doc.description
    if not doc.open:
        operation["security"] = _SECURITY
    if parameters := [*_in_path(path), *_in_query(doc)]:
        operation["parameters"] = parameters
    if doc.takes:
        operation["requestBody"] = {"required": True, "content": _content(doc.takes, schemas)}
    return operation


def _in_path(path: str) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(path)
    ]


def _in_query(doc: Doc) -> list[Json]:
    return [
        {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
        for name, text in doc.query
    ]


def _success(doc: Doc, schemas: dict[object, Json]) -> Json:
    if isinstance(doc.gives, str):
        return {"description": "Always.", "content": {doc.gives: {}}}
    return {
        "description": "Done.",
        "content": _content((Takes(doc.gives),), schemas),
    }


def _content(takes: Sequence[Takes], schemas: dict[object, Json]) -> Json:
    return {taken.media: {"schema": schemas[taken.schema]} for taken in takes}


def _error(status: int, schemas: dict[object, Json]) -> Json:
    answer: Json = {
        "description": _ERRORS[status],
        "content": _content((Takes(TrackingError),), schemas),
    }
    if status in _WAIT:
        retry = {"schema": {"type": "integer"}, "description": "Seconds to wait."}
        answer["headers"] = {"Retry-After": retry}
    return answer
