"""Run the mail catcher: `python -m clm_local.mail --smtp-port 1025 --http-port 8025 --dir DIR`."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import uvicorn

from clm_local.mail import smtp, web
from clm_local.mail.store import LIMIT, Store
from clm_local.ports import HOST


async def serve(store: Store, *, host: str, smtp_port: int, http_port: int) -> None:
    """Catch and show mails until a signal ends us."""
    catcher = await smtp.listen(store, host, smtp_port)
    application = web.application(store, local_only=host in {HOST, "localhost", "::1"})
    config = uvicorn.Config(
        application,
        host=host,
        port=http_port,
        log_level="warning",
        access_log=False,
        lifespan="off",
    )
    async with catcher:
        await uvicorn.Server(config).serve()


def main() -> None:
    """Read the arguments and serve."""
    parser = argparse.ArgumentParser(prog="python -m clm_local.mail", description=__doc__)
    parser.add_argument("--smtp-port", type=int, default=1025)
    parser.add_argument("--http-port", type=int, default=8025)
    parser.add_argument(
        "--host", default=HOST, help="other than this machine's own only if you trust the network"
    )
    parser.add_argument("--dir", type=Path, required=True, help="where the mails are kept")
    parser.add_argument("--limit", type=int, default=LIMIT, help="how many are kept")
    given = parser.parse_args()
    store = Store(given.dir, given.limit)
    asyncio.run(serve(store, host=given.host, smtp_port=given.smtp_port, http_port=given.http_port))


if __name__ == "__main__":
    main()
