"""`python -m clm_metrics.fill COPY` fills empty figures from a copy of the river."""

from __future__ import annotations

import sys
from functools import partial

from clm_common.runtime import filling
from clm_common.runtime.handler import OpenHandler
from clm_common.runtime.wiring import Plant
from clm_metrics.handlers import open_handler
from clm_metrics.settings import Settings
from clm_metrics.store import SCHEMA


def opener(settings: Settings, parts: Plant) -> OpenHandler:
    """Make what opens the handlers, as the service does."""
    del parts
    return partial(open_handler, settings.zones)


if __name__ == "__main__":
    where = "clm_metrics", SCHEMA
    sys.exit(filling.main("metrics", Settings, where, opener, sys.argv[1:]))
