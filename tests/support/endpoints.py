"""An endpoint that webhooks are posted to: a real HTTP server that answers as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager

from msgspec import Struct


class Post(Struct, frozen=True):
    """What was posted."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Reply(Struct, frozen=True):
    """How a post is answered: after so many seconds, with a status."""

    status: int = 204
    headers: Mapping[str, str] = {}
    after: float = 0.0


class Endpoint:
    """What came in, and what is answered."""

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.reply: Callable[[Post], Reply] = lambda _: Reply()
        self.port = 0
        self.busy = 0
        self.busiest = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}/stages"

    async def received(self, count: int, within: float = 40.0) -> list[Post]:
        """Wait for so many posts."""
        async with asyncio.timeout(within):
            while len(self.posts) < count:  # noqa: ASYNC110 - another process's doing
                await asyncio.sleep(0.02)
        return self.posts

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the posts of one connection."""
        try:
            while head := await _head(reader):
                first, *lines = head.decode().split("\r\n")
                pairs = (line.partition(": ") for line in lines if line)
                headers = {name.lower(): value for name, _, value in pairs}
                body = await reader.readexactly(int(headers["content-length"]))
                post = Post(first.split()[1], headers, body)
                await self._answer(post, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side went away
        finally:
            writer.close()

    async def _answer(self, post: Post, writer: asyncio.StreamWriter) -> None:
        self.posts.append(post)
        self.busy += 1
        self.busiest = max(self.busy, self.busiest)
        reply = self.reply(post)
        try:
            await asyncio.sleep(reply.after)
        finally:
            self.busy -= 1
        further = "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
        length = "" if reply.status == 204 else "content-length: 0\r\n"
        writer.write(f"HTTP/1.1 {reply.status} Said\r\n{length}{further}\r\n".encode())
        await writer.drain()


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


@asynccontextmanager
async def endpoint(port: int = 0) -> AsyncGenerator[Endpoint]:
    """Run an endpoint on this machine."""
    made = Endpoint()
    server = await asyncio.start_server(made.serve, "127.0.0.1", port)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
