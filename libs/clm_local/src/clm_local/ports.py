"""Ports of this machine: the wanted one if it is free, else any."""

from __future__ import annotations

import asyncio
import socket

HOST = "127.0.0.1"


def free_port(preferred: int = 0) -> int:
    """Give `preferred` if nothing listens there, else a free port that the system picks."""
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    message = "the system has no free port left"
    raise OSError(message)


def free_ports(count: int) -> list[int]:
    """Give several free ports, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind((HOST, 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


async def listens(port: int) -> bool:
    """Whether something accepts connections on the port."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(HOST, port), 1.0)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
