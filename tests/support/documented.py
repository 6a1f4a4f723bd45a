"""Holds every exchange against the OpenAPI document: what it does not say must not happen."""

import json
import re
from functools import cache
from typing import Any

import httpx
from jsonschema import Draft202012Validator

from clm_common.runtime.openapi import documents

Json = dict[str, Any]  # Any: a JSON document


@cache
def document_of(service: str) -> Json:
    """Give the document of a service, which is made once, as that takes a while."""
    ((_, text),) = documents([service])
    document: Json = json.loads(text)
    return document


class Documented:
    """Checks requests and answers of one service."""

    def __init__(self, service: str) -> None:
        self.document = document_of(service)
        self.checked = 0

    async def __call__(self, answer: httpx.Response) -> None:
        """Check an exchange; an event hook of httpx."""
        await answer.aread()
        self.check(answer)

    def check(self, answer: httpx.Response) -> None:
        """Raise `AssertionError` or a `ValidationError` unless the document says so."""
        request = answer.request
        if request.method == "OPTIONS" or answer.status_code in {404, 405}:
            return  # preflights and errors of routing are no operations
        operation = self.operation(request.method, request.url.path)
        said = operation["responses"]
        described = said.get(str(answer.status_code)) or said.get("default")
        assert described is not None, f"{request.url.path}: {answer.status_code}"
        content = described["content"]
        media = answer.headers["content-type"]
        assert media in content, f"{request.url.path}: {media}"
        if "json" in media and request.method != "HEAD":
            self._validate(content[media]["schema"], answer.json())
        self.checked += 1

    def operation(self, method: str, path: str) -> Json:
        """Find what the document says about a method and a path."""
        wanted = {"HEAD": "get"}.get(method, method.lower())
        for template, operations in self.document["paths"].items():
            pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)) + "/?"
            if wanted in operations and re.fullmatch(pattern, path):
                found: Json = operations[wanted]
                return found
        raise AssertionError(f"{method} {path} is not documented")

    def validate_request(self, method: str, path: str, media: str, value: object) -> None:
        """Raise unless the document says that a body may look like this."""
        content = self.operation(method, path)["requestBody"]["content"]
        self._validate(content[media]["schema"], value)

    def _validate(self, schema: Json, value: object) -> None:
        components = self.document["components"]
        Draft202012Validator({**schema, "components": components}).validate(value)
