"""`python -m clm_engagement.fill COPY` fills what engagement knows from a copy of the river.

What a journey calls for by then is history: it is planned and skipped, and nobody is written to.
Who unsubscribed does not stand on the river: restore the table of suppressions first.
"""

from __future__ import annotations

import sys
from functools import partial

from clm_common.runtime import filling
from clm_common.runtime.handler import OpenHandler
from clm_common.runtime.wiring import Plant
from clm_engagement.app import open_handler
from clm_engagement.channels import discover
from clm_engagement.definitions import FOLDER, load_definitions
from clm_engagement.handlers import Plans
from clm_engagement.settings import Settings
from clm_engagement.store import SCHEMA


def opener(settings: Settings, parts: Plant) -> OpenHandler:
    """Make what opens the handlers; no stage change is recent enough to be acted upon."""
    definitions = load_definitions(
        settings.journey_dir or FOLDER, discover(), settings.main_lifecycle
    )
    plans = Plans(definitions.journeys, clock=parts.clock, window=0)
    return partial(open_handler, plans)


if __name__ == "__main__":
    where = "clm_engagement", SCHEMA
    sys.exit(filling.main("engagement", Settings, where, opener, sys.argv[1:]))
