"""The `clm` command: the whole system on this machine, from one terminal."""

from __future__ import annotations

import sys
import traceback
from typing import NoReturn

from clm_common.errors import ClmError
from clm_local import paths
from clm_local.cli import screen
from clm_local.cli.app import app


def main() -> NoReturn:
    """Run the command line; people see sentences, never tracebacks."""
    try:
        app()
    except ClmError as error:
        screen.fail(str(error))
    except KeyboardInterrupt:
        screen.fail("Interrupted. Run the same command again to go on.", code=130)
    except BrokenPipeError:
        sys.stderr.close()  # whoever read our output has gone
    except Exception as error:  # noqa: BLE001  (whatever it is, nobody wants to see its traceback)
        screen.fail(f"{type(error).__name__}: {error}. This is a defect; {_kept()}.")
    sys.exit(0)


def _kept() -> str:
    """Keep the traceback in a file, and say where."""
    place = paths.find().logs / "clm.log"
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with place.open("a") as log:
            log.write(f"{' '.join(sys.argv)}\n{traceback.format_exc()}\n")
    except OSError:
        return "its details could not be kept"
    return f"its details are in {place}"
