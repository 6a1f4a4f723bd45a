"""Asks one of our HTTP servers a short question without an HTTP library: the supervisor is lean."""

from __future__ import annotations

import asyncio

from clm_local.ports import HOST

WITHIN = 2.0
OK = 200


async def is_ready(port: int) -> bool:
    """Whether the service on the port says that it is ready."""
    return await status_of(port, "/ready") == OK


async def status_of(port: int, path: str) -> int | None:
    """Give the status that a GET is answered with; None without an answer."""
    try:
        async with asyncio.timeout(WITHIN):
            return await _ask(port, path)
    except (OSError, TimeoutError, ValueError, IndexError):
        return None


async def _ask(port: int, path: str) -> int:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
        return int((await reader.readline()).split()[1])
    finally:
        writer.close()
