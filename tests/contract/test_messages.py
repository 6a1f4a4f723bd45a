"""What was written yesterday is read today, and what is written today is read by yesterday's code.

`samples/` holds messages as they were once published and `released/` the schemas of then. Both are
only ever added to: a change that makes a test here fail breaks somebody who subscribes.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from msgspec import Struct

from clm_common.contracts import asyncapi, generate, journey, schema, topics
from clm_common.contracts.touchpoint import customer_id, glance

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SAMPLES = sorted(HERE.glob("samples/*/*.json"))
RELEASED = sorted(HERE.glob("released/*.json"))
CLASSES = {message.__name__: message for message in schema.MESSAGES}

Json = dict[str, Any]  # Any: a JSON document


def name_of(path: Path) -> str:
    return f"{path.parent.name}-{path.stem}"


def load(path: Path) -> Json:
    document: Json = json.loads(path.read_text("utf-8"))
    return document


def validator(document: Json) -> jsonschema.Draft202012Validator:
    jsonschema.Draft202012Validator.check_schema(document)
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    return jsonschema.Draft202012Validator(document, format_checker=checker)


def breaking(old: Json, new: Json) -> list[str]:
    """Say what in a new schema breaks readers or writers of the old one."""
    found = [f"{name} is gone" for name in old["properties"] if name not in new["properties"]]
    found += [
        f"{name} means something else"
        for name, was in old["properties"].items()
        if meaning(was) != meaning(new["properties"].get(name, was))
    ]
    found += [f"{name} may be missing now" for name in set(old["required"]) - set(new["required"])]
    found += [f"{name} must be there now" for name in set(new["required"]) - set(old["required"])]
    return found


def meaning(node: Any) -> Any:  # Any: a part of a JSON document
    if isinstance(node, dict):
        return {key: meaning(value) for key, value in node.items() if key != "description"}
    return [meaning(item) for item in node] if isinstance(node, list) else node


@pytest.mark.parametrize("path", SAMPLES, ids=name_of)
def test_an_old_message_is_still_read(path: Path) -> None:
    message: type[Struct] = CLASSES[path.parent.name]
    value = path.read_bytes()

    if path.parent.name == "Touchpoint":  # senders write ids as numbers, too
        assert glance(value).message_id == load(path)["messageId"]
    else:
        read = msgspec.json.decode(value, type=message)
        assert json.loads(msgspec.json.encode(read)) == load(path)


@pytest.mark.parametrize("path", SAMPLES, ids=name_of)
def test_an_old_message_fits_the_schema_of_today(path: Path) -> None:
    document = schema.documents()[f"{path.parent.name}.json"]

    validator(document).validate(load(path))


@pytest.mark.parametrize("path", SAMPLES, ids=name_of)
def test_a_message_written_today_fits_the_schema_of_then(path: Path) -> None:
    released = load(HERE / "released" / f"{path.parent.name}.json")
    written = json.loads(path.read_bytes())
    if path.parent.name != "Touchpoint":
        read = msgspec.json.decode(path.read_bytes(), type=CLASSES[path.parent.name])
        written = json.loads(msgspec.json.encode(read))

    validator(released).validate(written)


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_no_released_schema_is_broken(path: Path) -> None:
    today = schema.documents()

    assert path.name in today
    assert breaking(load(path), today[path.name]) == []


@pytest.mark.parametrize("message", schema.MESSAGES, ids=lambda message: message.__name__)
def test_every_message_has_a_sample_and_a_released_schema(message: type[Struct]) -> None:
    assert list(HERE.glob(f"samples/{message.__name__}/*.json"))
    assert (HERE / "released" / f"{message.__name__}.json").is_file()


def removed(document: Json) -> None:
    del document["properties"]["user_id"]


def retyped(document: Json) -> None:
    document["properties"]["version"]["type"] = "string"


def loosened(document: Json) -> None:
    document["required"].remove("target")


def demanded(document: Json) -> None:
    document["required"].append("cause")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (removed, "user_id is gone"),
        (retyped, "version means something else"),
        (loosened, "target may be missing now"),
        (demanded, "cause must be there now"),
    ],
)
def test_a_breaking_change_is_noticed(change: Any, complaint: str) -> None:  # Any: a function above
    old = schema.documents()["StageChange.json"]
    new = copy.deepcopy(old)
    change(new)

    assert breaking(old, new) == [complaint]


def test_adding_an_optional_field_breaks_nobody() -> None:
    old = schema.documents()["StageChange.json"]
    new = copy.deepcopy(old)
    new["properties"]["reason"] = {"type": "string"}

    assert breaking(old, new) == []


def test_the_kind_decides_which_message_of_the_river_it_is() -> None:
    for name in ("TouchpointApplied", "StageChange", "IdentityMoved"):
        for path in HERE.glob(f"samples/{name}/*.json"):
            assert type(journey.decode(path.read_bytes())) is CLASSES[name]


def test_a_broken_message_does_not_fit_its_schema() -> None:
    document = schema.documents()["Published.json"]

    with pytest.raises(jsonschema.ValidationError):
        validator(document).validate({"seq": "many"})


def test_ids_written_as_numbers_are_read_as_text() -> None:
    numeric = glance((HERE / "samples/Touchpoint/identify-numeric-id.json").read_bytes())

    assert customer_id(numeric.user_id) == "17"


def test_every_topic_and_nothing_else_is_documented() -> None:
    assert [flow.topic for flow in asyncapi.FLOWS] == list(topics.ALL)


def test_every_reference_of_the_document_leads_somewhere() -> None:
    document = asyncapi.document()

    for reference in schema.references(document):
        node: Any = document  # Any: a part of the document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_every_field_is_described() -> None:
    for name, document in schema.documents().items():
        for field, property_ in document["properties"].items():
            assert property_.get("description"), f"{name}: {field}"


def test_the_generated_files_are_up_to_date(tmp_path: Path) -> None:
    assert generate.stale(ROOT / "docs/reference", generate.files()) == []
    assert generate.main(["--check", str(tmp_path)]) == 1
    assert generate.main([str(tmp_path)]) == 0
    assert generate.main(["--check", str(tmp_path)]) == 0


def test_a_stale_and_a_left_over_file_are_noticed_and_mended(tmp_path: Path) -> None:
    generate.main([str(tmp_path)])
    (tmp_path / "schemas/Published.json").write_text("{}")
    (tmp_path / "schemas/Gone.json").write_text("{}")

    assert generate.stale(tmp_path, generate.files()) == [
        "schemas/Gone.json",
        "schemas/Published.json",
    ]
    assert generate.main([str(tmp_path)]) == 0
    assert generate.main(["--check", str(tmp_path)]) == 0
