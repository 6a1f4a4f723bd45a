"""The documents' snippets for sending events, run as they stand: what they send is on the river."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support import node
from tests.support.browser import visitor, website
from tests.support.journey import applied
from tests.support.pipeline import Pipeline, pipeline
from tests.support.sdks import bundle, workshop
from tests.support.servers import DatabaseServer
from tests.support.snippets import INGEST, README, Snippet, sending, snippets

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]

ENGINE: Final = "http://127.0.0.1:8081"

ON_A_SERVER: Final = ["identify", "track"]
IN_A_BROWSER: Final = ["identify", "page", "track"]


class Reader:
    """Somebody who has read a document and does what it says, in a workspace of their own."""

    def __init__(self, running: Pipeline, chromium: Browser, workshop: Path, folder: Path) -> None:
        running.ingest.renew_workspace()
        self.workspace = running.ingest.workspace
        self.bootstrap = running.bootstrap
        self._running = running
        self._chromium = chromium
        self._workshop = workshop
        self._folder = folder
        self._key = ""

    async def get_a_key(self) -> None:
        """Create the source that the snippets send as."""
        self._key = await self._running.ingest.create_source()

    @asynccontextmanager
    async def following(self, snippet: Snippet) -> AsyncGenerator[str]:
        """Run a snippet and give what it printed; a page of a browser stays open meanwhile."""
        values = {INGEST: self._running.ingest.url, ENGINE: self._running.engine.url}
        if snippet.kind in {"html", "js"}:  # elsewhere it comes by the environment
            values["WRITE_KEY"] = self._key
        code = snippet.filled(values)
        match snippet.kind:
            case "sh":
                yield await self._run("sh", "-ec", code)
            case "python":
                yield await self._run(sys.executable, "-c", code)
            case "node":
                script = self._workshop / "snippet.mjs"
                script.write_text(code)
                yield await self._run(str(node.NODE), str(script))
            case "html":
                async with self._browsing({"/": page_with(code)}):
                    yield ""
            case _:
                script = self._workshop / "snippet.js"
                script.write_text(code)
                await asyncio.to_thread(bundle, self._workshop, [script], self._folder, form="esm")
                tag = '<script type="module" src="/snippet.js"></script>'
                bundled = (self._folder / script.name).read_text()
                async with self._browsing({"/": page_with(tag), "/snippet.js": bundled}):
                    yield ""

    async def _run(self, *command: str) -> str:
        token = self._running.ingest.token("profiles:read")["authorization"].split()[1]
        told = os.environ | {"WRITE_KEY": self._key, "TOKEN": token}
        done = await asyncio.to_thread(
            subprocess.run, command, env=told, capture_output=True, text=True, timeout=60
        )
        assert (done.returncode, done.stderr) == (0, "")
        return str(done.stdout)

    @asynccontextmanager
    async def _browsing(self, pages: Mapping[str, str]) -> AsyncGenerator[None]:
        async with website() as site, visitor(self._chromium) as page:
            site.pages.update(pages)
            await page.goto(site.url)
            yield


def page_with(body: str) -> str:
    return f"<!doctype html><meta charset=utf-8><title>Shop</title>{body}"


def sent_by(snippet: Snippet) -> list[str]:
    """Give the calls that a snippet makes, sorted."""
    if snippet.language == "sh":
        return ["track"]
    return IN_A_BROWSER if snippet.kind in {"html", "js"} else ON_A_SERVER


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(server_home: Path, database_server: DatabaseServer) -> AsyncGenerator[Pipeline]:
    async with pipeline(server_home, database_server) as running:
        yield running


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return workshop(tmp_path_factory.mktemp("sdks"))


@pytest_asyncio.fixture(loop_scope="module")
async def reader(running: Pipeline, chromium: Browser, tools: Path, tmp_path: Path) -> Reader:
    reader = Reader(running, chromium, tools, tmp_path)
    await reader.get_a_key()
    return reader


@pytest.mark.parametrize("snippet", sending(), ids=lambda it: it.place)
async def test_what_a_snippet_sends_is_on_the_river_once(reader: Reader, snippet: Snippet) -> None:
    expected = sent_by(snippet)

    async with reader.following(snippet):
        facts = await applied(reader.bootstrap, reader.workspace, len(expected))

    events = [msgspec.json.decode(it.touchpoint) for it in facts]
    assert sorted(it["type"] for it in events) == expected
    calls = {it["type"]: it for it in events}
    assert calls["track"]["event"] == "Order Completed"
    assert calls["track"]["properties"]["revenue"] == 42.5
    assert calls["track"]["userId"] == "ada"
    if "identify" in calls:
        traits = calls["identify"].get("traits") or calls["identify"]["context"]["traits"]
        assert (calls["identify"]["userId"], traits["email"]) == ("ada", "ada@example.com")


async def test_the_readmes_question_is_answered_with_the_person_its_snippet_sent(
    reader: Reader,
) -> None:
    (asking,) = [it for it in snippets(README) if ENGINE in it.code]
    (telling,) = [it for it in sending() if it.place == "README.md: curl"]

    async with reader.following(telling):
        (fact,) = await applied(reader.bootstrap, reader.workspace, 1)
    async with reader.following(asking) as printed:
        answer = json.loads(printed)

    assert [it["id"] for it in answer["profiles"]] == [str(fact.profile_id)]
