from __future__ import annotations

from pathlib import Path

import pytest

from clm_common.errors import DefinitionError
from clm_engagement.channels import discover
from clm_engagement.core.contact import FIELDS
from clm_engagement.core.template import Values
from clm_engagement.definitions import FOLDER, load_definitions
from tests.support.engagement import write_journeys


def test_the_journeys_that_ship_are_right_and_render() -> None:
    definitions = load_definitions(FOLDER, discover(), "reach")
    nobody: dict[str, str | None] = dict.fromkeys(FIELDS)
    values: Values = {
        "contact": {**nobody, "first_name": "Ann"},
        "sender": {"name": "Shop", "email": "shop@example.com"},
        "link": {"unsubscribe": "https://example.com/u/x"},
    }

    parts = definitions.render("welcome", "welcome", values)
    without = definitions.render("welcome", "welcome", {**values, "contact": nobody})

    assert parts["subject"].strip() == "Welcome, Ann!"
    assert without["subject"].strip() == "Welcome to Shop!"
    assert "https://example.com/u/x" in parts["text"]
    assert 'href="https://example.com/u/x"' in parts["html"]
    assert len(parts["html"]) < 100_000


def test_a_channel_is_a_module() -> None:
    assert {key: channel.key for key, channel in discover().items()} == {"email": "email"}


def test_an_unknown_channel_is_refused_with_file_and_line(tmp_path: Path) -> None:
    folder = write_journeys(tmp_path / "journeys")
    text = (folder / "welcome.yaml").read_text().replace("email", "pigeon")
    (folder / "welcome.yaml").write_text(text)

    with pytest.raises(DefinitionError, match=r"welcome\.yaml:6: .*'pigeon'; there are email"):
        load_definitions(folder, discover(), "reach")


def test_a_missing_template_is_refused(tmp_path: Path) -> None:
    folder = write_journeys(tmp_path / "journeys")
    (folder / "welcome" / "welcome.text.liquid").unlink()

    with pytest.raises(DefinitionError, match=r"welcome\.yaml:6: .*welcome\.text\.liquid"):
        load_definitions(folder, discover(), "reach")


def test_a_mail_without_a_way_out_is_refused(tmp_path: Path) -> None:
    folder = write_journeys(tmp_path / "journeys", html="<p>Hi</p>")

    with pytest.raises(DefinitionError, match=r"must contain \{\{ link\.unsubscribe \}\}"):
        load_definitions(folder, discover(), "reach")


def test_a_journey_that_names_no_lifecycle_is_the_main_one_s(tmp_path: Path) -> None:
    folder = write_journeys(tmp_path / "journeys")
    text = (folder / "welcome.yaml").read_text().replace("lifecycle: reach\n", "")
    (folder / "mine.yaml").write_text(text.replace("key: welcome", "key: mine", 1))
    (folder / "welcome").rename(folder / "mine")
    (folder / "welcome.yaml").unlink()

    found = load_definitions(folder, discover(), "saas")

    assert found.journeys["mine"].lifecycle == "saas"
