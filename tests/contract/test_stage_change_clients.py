"""What others are given to read stage changes with: the examples are what the engine writes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from clm_common.contracts import asyncapi, schema
from clm_common.contracts.examples import STAGE_CHANGES, Example
from clm_common.contracts.topics import STAGE_CHANGES as TOPIC
from clm_stage_engine.core import river

CLIENT = Path(__file__).parents[2] / "docs/reference/clients/stage_change.py"
SAMPLES = sorted((Path(__file__).parent / "samples" / "StageChange").glob("*.json"))

Json = dict[str, Any]  # Any: a JSON document


def shown() -> list[Json]:
    """Give the examples of the document."""
    messages: Json = asyncapi.document()["components"]["messages"]
    found: list[Json] = messages[f"{TOPIC.name}.StageChange"]["examples"]
    return found


@pytest.fixture(scope="module")
def client() -> Iterator[ModuleType]:
    """Give the generated module, as somebody imports it who has copied it."""
    spec = spec_from_file_location("clm_stage_change_copy", CLIENT)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("example", STAGE_CHANGES, ids=lambda it: it.name)
def test_an_example_is_what_the_engine_would_publish(example: Example) -> None:
    _, (published,) = river.columns([example.message])

    node = example.node()
    assert node["headers"] == {name: text.decode() for name, text in published.all_headers()}
    assert node["payload"] == json.loads(published.value)
    assert node["headers"]["ce_subject"] == published.key.decode()


def test_the_document_shows_an_assertion_a_deadline_and_a_retraction() -> None:
    assertion, deadline, retraction = (it["payload"] for it in shown())

    assert "cause" in assertion
    assert "cause" not in deadline
    assert retraction["retracted"] is True
    assert retraction["id"] == assertion["id"]
    assert retraction["version"] > assertion["version"]


def test_the_examples_fit_what_the_document_says_of_headers_and_values() -> None:
    document = asyncapi.document()
    headers = document["components"]["messages"][f"{TOPIC.name}.StageChange"]["headers"]

    for example in shown():
        jsonschema.validate(example["headers"], headers)
        jsonschema.validate(example["payload"], schema.documents()["StageChange.json"])


@pytest.mark.parametrize("path", SAMPLES, ids=lambda it: it.stem)
def test_the_generated_class_reads_what_was_published(client: ModuleType, path: Path) -> None:
    value = path.read_bytes()

    read = asdict(client.read(value))

    written = json.loads(value)
    del written["kind"]
    assert {name: read[name] for name in written} == written
    assert not any(read[name] for name in read.keys() - written.keys())


def test_the_generated_class_takes_what_the_contract_will_add(client: ModuleType) -> None:
    added = json.loads(SAMPLES[0].read_bytes()) | {"mood": "fine"}

    assert client.read(json.dumps(added).encode()) == client.read(SAMPLES[0].read_bytes())


def test_the_generated_class_refuses_a_message_that_lacks_something(client: ModuleType) -> None:
    lacking = json.loads(SAMPLES[0].read_bytes())
    del lacking["target"]

    with pytest.raises(TypeError, match="target"):
        client.read(json.dumps(lacking).encode())
