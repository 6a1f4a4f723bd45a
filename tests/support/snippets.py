"""The code blocks of a Markdown document, to be run as a reader would run them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
README: Final = ROOT / "README.md"
HOW_TO: Final = ROOT / "docs" / "how-to" / "send-events.md"
WEBHOOKS: Final = ROOT / "docs" / "how-to" / "receive-stage-changes-by-webhook.md"
INGEST: Final = "http://127.0.0.1:8080"
"""Where the documents say ingest is."""

_BLOCK: Final = re.compile(
    r"^(?:#+ (?P<heading>[^\n]+)|\*\*(?P<bold>[^*\n]+)\*\*[^\n]*"
    r"|```(?P<language>\w+)\n(?P<code>.*?)^```)$",
    re.MULTILINE | re.DOTALL,
)
_INSTALL: Final = re.compile(r"`(pip|npm) install ([^`]+)`")


@dataclass(frozen=True)
class Snippet:
    """One code block that says its language.

    Attributes:
        place: the document's name and the last heading or bold line above it.
        language: what stands after the fence.
        code: the block.
    """

    place: str
    language: str
    code: str

    @property
    def kind(self) -> str:
        """How it is run: `sh`, `python`, `html`, `node`, or `js` in a page."""
        server = self.language == "js" and "process.env" in self.code
        return "node" if server else self.language

    def filled(self, values: Mapping[str, str]) -> str:
        """Give the code with what a reader is told to put in."""
        code = self.code
        for said, meant in values.items():
            code = code.replace(said, meant)
        return code


def snippets(path: Path) -> Iterator[Snippet]:
    """Give a document's blocks, in order."""
    heading = ""
    for found in _BLOCK.finditer(path.read_text()):
        if found["language"]:
            yield Snippet(f"{path.name}: {heading}", found["language"], found["code"])
        else:
            heading = found["heading"] or found["bold"]


def installed(path: Path) -> set[tuple[str, str]]:
    """Give what a document tells to install, as (pip or npm, name)."""
    return {(it[1], it[2]) for it in _INSTALL.finditer(path.read_text())}


def sending() -> list[Snippet]:
    """Give all blocks of the documents that send something to ingest."""
    return [it for path in (README, HOW_TO) for it in snippets(path) if INGEST in it.code]
