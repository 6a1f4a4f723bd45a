"""The OpenAPI document of ingest."""

import json

from clm_common.contracts.touchpoint import TYPES
from clm_common.runtime.openapi import documents


def test_the_committed_document_is_what_the_code_says() -> None:
    ((path, text),) = documents(["ingest"])

    assert path.read_text() == text


def test_every_tracking_call_is_documented_with_its_schema_and_its_errors() -> None:
    ((_, text),) = documents(["ingest"])
    document = json.loads(text)

    for kind in TYPES:
        operation = document["paths"][f"/v1/{kind}"]["post"]
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Touchpoint"}
        assert {"200", "400", "401", "413", "503"} <= operation["responses"].keys()
    assert "Retry-After" in document["paths"]["/v1/batch"]["post"]["responses"]["503"]["headers"]
