"""A shop's website with clm.js in it, a visitor's browser, and what has landed on Kafka."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page

from tests.support.browser import Site
from tests.support.ingest import IngestProcess, Tail

Event = dict[str, Any]  # Any: JSON


class Shop:
    """A shop's website with the script in it, a visitor's browser, and what has landed."""

    def __init__(
        self, tail: Tail, process: IngestProcess, site: Site, context: BrowserContext, key: str
    ) -> None:
        self._tail = tail
        self._key = key
        self._mark = f"{process.workspace}:".encode()
        self._events: dict[str, Event] = {}
        self.url = process.url
        self.site = site
        self.context = context

    def show(
        self, attributes: str = "", body: str = "", path: str = "/", *, src: str | None = None
    ) -> None:
        """Put the script's tag, and something else, into a page."""
        tag = f'<script async src="{src or self.url + "/clm.js"}" data-write-key="{self._key}"'
        head = "<meta charset=utf-8><title>Shop</title><link rel=icon href=data:,>"
        self.site.pages[path] = f"<!doctype html>{head}{tag} {attributes}></script>{body}"

    async def visit(self, path: str = "/", **options: Any) -> Page:  # Any: playwright's
        """Open a page in a new tab."""
        page = await self.context.new_page()
        page.on("pageerror", lambda error: pytest.fail(f"the page: {error}"))
        await page.goto(self.site.url + path, **options)
        await page.wait_for_function("window.clm && !Array.isArray(window.clm)")
        return page

    async def landed(self) -> list[Event]:
        """Give everything of this shop that lies on Kafka, one copy of each, in order of time."""
        for record in await self._tail.read():
            if (record.key or b"").startswith(self._mark):
                event = json.loads(record.value or b"")
                self._events[event["messageId"]] = event
        return sorted(self._events.values(), key=lambda it: str(it["timestamp"]))

    async def until(self, *names: str) -> list[Event]:
        """Wait until exactly these have landed: names of tracked events, or types."""
        events: list[Event] = []
        async with asyncio.timeout(40):
            while Counter(map(name_of, events)) != Counter(names):
                assert not Counter(map(name_of, events)) - Counter(names)
                events = await self.landed()
                await asyncio.sleep(0.02)
        return events


def name_of(event: Event) -> str:
    return str(event.get("event") or event["type"])
