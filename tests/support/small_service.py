"""A service that shows what every service's process does: `python -m tests.support.small_service`.

`SMALL_SERVICE` says how its background task behaves: `work` (default), `die`, `end`, or `linger`
(it does not heed the word to stop); `refuse` has its preparation find what waiting cannot mend.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from clm_common.errors import DefinitionError
from clm_common.runtime.http import new_app
from clm_common.runtime.service import Service, run
from clm_common.settings import ServiceSettings
from clm_common.store.database import Database

BEHAVIOUR = os.environ.get("SMALL_SERVICE", "work")


@asynccontextmanager
async def build(settings: ServiceSettings) -> AsyncGenerator[Service]:
    app = new_app("small", title="Small", description="A small service.", version="1")

    async def slow() -> str:
        await asyncio.sleep(1)
        return "done"

    app.get("/slow")(slow)
    async with Database.of(settings, "small") as database:

        async def prepare() -> None:
            if BEHAVIOUR == "refuse":
                raise DefinitionError("lifecycle.wrong", "reach.yaml:3: stage nowhere is unknown")
            await database.ping()

        yield Service(
            app=app, pings={"postgres": database.ping}, prepare=prepare, tasks={"work": work}
        )
    sys.stdout.write("resources closed\n")


async def work(stop: asyncio.Event) -> None:
    match BEHAVIOUR:
        case "die":
            await asyncio.sleep(0.3)
            raise LookupError("the work failed")
        case "end":
            return
        case "linger":
            await asyncio.sleep(3600)
        case _:
            await stop.wait()


if __name__ == "__main__":
    run("small", ServiceSettings, build)
