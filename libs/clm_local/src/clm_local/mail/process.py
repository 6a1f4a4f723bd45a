"""The mail catcher as a child process."""

from __future__ import annotations

import sys
from pathlib import Path

from clm_local.child import Child, plain_environment
from clm_local.ports import listens


def prepare(
    home: Path, *, smtp_port: int, http_port: int, log_path: Path, name: str = "mail"
) -> Child:
    """Describe the process that catches mails on `smtp_port` and shows them on `http_port`."""

    async def ready() -> bool:
        return await listens(smtp_port) and await listens(http_port)

    ports = ("--smtp-port", str(smtp_port), "--http-port", str(http_port))
    return Child(
        name=name,
        argv=(sys.executable, "-m", "clm_local.mail", *ports, "--dir", str(home)),
        env=plain_environment(PYTHONUNBUFFERED="1"),
        cwd=home,
        log_path=log_path,
        ready=ready,
        lock=home / ".lock",
    )
