"""Which snippets the documents have, and that what they tell to install is what is tested."""

from __future__ import annotations

import json
from importlib.metadata import distribution

from tests.support.snippets import HOW_TO, README, ROOT, installed, sending

MAKERS = ("Segment", "RudderStack", "Jitsu")


def test_each_document_has_a_snippet_for_each_way_to_send() -> None:
    found = {(it.place, it.kind) for it in sending()}

    how_to = {
        ("A website, with clm.js", "html"),
        ("curl", "sh"),
        ("Segment, Python", "python"),
        ("RudderStack, Python", "python"),
        *((f"{maker}, Node", "node") for maker in MAKERS),
        *((f"{maker}, browser", "js") for maker in MAKERS),
    }
    readme = {("curl", "sh"), ("Browser", "html"), ("Node", "node"), ("Python", "python")}
    assert found >= {(f"send-events.md: {heading}", kind) for heading, kind in how_to}
    assert found >= {(f"README.md: {heading}", kind) for heading, kind in readme}


def test_what_readers_are_told_to_install_is_what_is_tested() -> None:
    told = installed(README) | installed(HOW_TO)
    pinned = json.loads((ROOT / "tests/node/sdks/package.json").read_text())["dependencies"]

    assert {name for tool, name in told if tool == "npm"} <= pinned.keys()
    assert all(distribution(name) for tool, name in told if tool == "pip")
    assert {tool for tool, _ in told} == {"npm", "pip"}
