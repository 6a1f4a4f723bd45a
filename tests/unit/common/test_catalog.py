"""A folder of definitions: read strictly, refused with file, line and advice."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from clm_common import catalog
from clm_common.catalog import Definition, Problem, Strict
from clm_common.errors import DefinitionError


class Part(Strict):
    name: str
    weight: Decimal = Decimal(1)


class Sample(Definition):
    count: int
    parts: list[Part] = Field(default_factory=list[Part])


def refusal(text: str) -> str:
    """Give the message a text is refused with."""
    with pytest.raises(DefinitionError) as refused:
        catalog.read(text, "sample.yaml", Sample)
    return str(refused.value)


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, "utf-8")


def test_every_yaml_file_of_a_folder_is_a_definition(tmp_path: Path) -> None:
    write(tmp_path, "two.yaml", "key: two\ncount: 2\nparts:\n  - {name: ä, weight: 0.1}")
    write(tmp_path, "one-more.yaml", "key: one-more\ncount: 1")
    write(tmp_path, "README.md", "Not a definition.")

    found = catalog.load(tmp_path, Sample)

    assert list(found) == ["one-more", "two"]
    assert found["two"].definition.parts == [Part(name="ä", weight=Decimal("0.1"))]


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="no such folder"):
        catalog.load(tmp_path / "nowhere", Sample)


def test_the_key_is_the_file_s_name(tmp_path: Path) -> None:
    write(tmp_path, "one.yaml", "count: 1\nkey: two")

    with pytest.raises(DefinitionError) as refused:
        catalog.load(tmp_path, Sample)

    assert str(refused.value) == (
        f"{tmp_path}/one.yaml:2: key: key 'two' and file name differ; call the file two.yaml"
    )
    assert refused.value.slug == "definition.file_name"
    assert refused.value.values == {"file": f"{tmp_path}/one.yaml", "line": 2}


def test_a_yml_file_is_not_overlooked(tmp_path: Path) -> None:
    write(tmp_path, "one.yml", "key: one\ncount: 1")

    with pytest.raises(DefinitionError, match="rename it"):
        catalog.load(tmp_path, Sample)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_bytes(b"key: \xff")

    with pytest.raises(DefinitionError, match="not readable as UTF-8"):
        catalog.load(tmp_path, Sample)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "key: a\ncuont: 1",
            (
                "sample.yaml:1: key 'count' is missing; add it\n"
                "sample.yaml:2: cuont: unknown key 'cuont'; did you mean 'count'?"
            ),
        ),
        (
            "key: a\ncount: 1\nwhatever: 1",
            "sample.yaml:3: whatever: unknown key 'whatever'; remove it",
        ),
        (
            "key: a\ncount: 1\nname: b",
            "sample.yaml:3: name: key 'name' does not belong here; remove it",
        ),
        (
            "key: a\ncount: 1\ncount: 2",
            "sample.yaml:3: key 'count' stands on line 2 already; keep one",
        ),
        (
            "key: a\ncount: 1\nparts:\n  - name: b\n    weight: 1\n    weight: 2",
            "sample.yaml:6: key 'weight' stands on line 5 already; keep one",
        ),
        ("key: a\ncount: one", "sample.yaml:2: count: Input should be a valid integer"),
        ('key: a\ncount: "1"', "sample.yaml:2: count: Input should be a valid integer"),
        ("key: a\ncount: yes", "sample.yaml:2: count: Input should be a valid integer"),
        (
            "key: a\ncount: 1\nparts:\n  - name: b\n  -\n    name: 7",
            "sample.yaml:6: parts[1].name: Input should be a valid string",
        ),
        (
            "key: a\ncount: 1\nparts: [{name: b},\n  {weight: 1}]",
            "sample.yaml:4: parts[1]: key 'name' is missing; add it",
        ),
        ("key: a\non: 1", 'sample.yaml:2: keys are text; write "on" in quotes'),
        ("key: a\n[b]: 1", 'sample.yaml:2: keys are text; write "this" in quotes'),
        (
            "key: &x a\n\n# comment\ncount: *x",
            "sample.yaml:4: aliases are not read; write the value out",
        ),
        (
            "key: 2026-11-22",
            "sample.yaml:1: '2026-11-22' is neither text nor a number; quote it if it is text",
        ),
        (
            "key: a\ncount: .inf",
            "sample.yaml:2: '.inf' is neither text nor a number; quote it if it is text",
        ),
        (
            "key: a\ncount: !!set {b}",
            "sample.yaml:2: tag tag:yaml.org,2002:set is not read; leave it out",
        ),
        ("", "sample.yaml:1: Input should be an object"),
        ("- key: a", "sample.yaml:1: Input should be an object"),
    ],
)
def test_a_text_that_cannot_be_right_is_refused_with_line_and_advice(
    text: str, expected: str
) -> None:
    assert refusal(text) == expected


def test_broken_yaml_is_refused_at_its_line() -> None:
    assert refusal("key: a\ncount: [1").startswith("sample.yaml:2: ")


def test_code_in_yaml_is_never_run() -> None:
    assert "is not read" in refusal("key: !!python/object/apply:os.getcwd []")
    assert "could not determine a constructor" in refusal("key: !!python/name:os.getcwd x")


def test_a_text_nested_beyond_reason_is_refused() -> None:
    assert (
        refusal(f"key: {'[' * 5000}")
        == "sample.yaml:1: nested too deeply; no definition needs that"
    )


def test_the_rules_of_a_caller_are_refused_at_their_line_too() -> None:
    entry = catalog.read("key: a\ncount: 1\nparts:\n  - {name: b}\n  - {name: b}", "s.yaml", Sample)

    error = entry.refuse([Problem("sample.twice", ("parts", 1, "name"), "b is there; rename it")])

    assert str(error) == "s.yaml:5: parts[1].name: b is there; rename it"
    assert (error.slug, error.values) == ("sample.twice", {"file": "s.yaml", "line": 5})


def test_a_text_without_a_file_is_refused_by_its_line() -> None:
    entry = catalog.read("key: a\ncount: 1", "", Sample)

    with pytest.raises(DefinitionError) as malformed:
        catalog.read("key: a\ncount: [", "", Sample)
    with pytest.raises(DefinitionError) as misspelt:
        catalog.read("key: a\ncont: 1\ncount: 1", "", Sample)

    assert str(malformed.value).startswith("line 2: ")
    assert str(misspelt.value) == "line 2: cont: unknown key 'cont'; did you mean 'count'?"
    assert str(entry.refuse([Problem("s.x", ("count",), "no")])) == "line 2: count: no"


@given(st.text(max_size=60) | st.text("key:a \n-[]{},#&*!|>'\"", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        catalog.read(text, "sample.yaml", Sample)
    except DefinitionError as error:
        assert str(error).startswith("sample.yaml:")  # noqa: PT017 - reading it is fine as well
