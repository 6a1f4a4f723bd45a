"""Fetch all that the servers run on, ahead of time and with progress: `python -m clm_local.fetch`.

Tests do this first, so that no test's time is spent on a download. A second call takes a moment.
"""

from __future__ import annotations

import asyncio
import sys

from rich.console import Console

from clm_local import kafka, paths, postgres
from clm_local.errors import LocalError
from clm_local.progress import bars


def main() -> int:
    """Fetch what is missing, and say what cannot be had."""
    place = paths.find().prepare()
    try:
        postgres.find(place)
        with bars(Console(stderr=True)) as report:
            software = kafka.install(place, report)
        asyncio.run(kafka.archive_classes(software))
    except LocalError as error:
        print(error, file=sys.stderr)  # noqa: T201  (a person is looking)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
