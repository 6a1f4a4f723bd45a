"""`python -m clm_stage_engine.changing.validate FILE…` says what is wrong with lifecycles.

Each fault is a line: file, line, place, what is wrong and how to mend it. It asks no server. It
ends with 0 where all are right, with 65 where one cannot be right.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from clm_common.errors import DefinitionError
from clm_stage_engine.changing import files

WRONG: Final = 65
"""The exit code where a definition cannot be right."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check the files of the command line; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m clm_stage_engine.changing.validate")
    parser.add_argument("files", nargs="+", metavar="FILE", help="a lifecycle; - reads stdin")
    given = parser.parse_args(arguments)
    return max([_check(file) for file in given.files])


def _check(file: str) -> int:
    try:
        found = files.read(file)
    except DefinitionError as error:
        sys.stderr.write(f"{error}\n")
        return WRONG
    sys.stdout.write(
        f"{file}: {found.key} is right: {len(found.stages)} stages, {len(found.moves)} moves, "
        f"definition {found.digest[:12]}\n"
    )
    if file != "-" and Path(file).name != f"{found.key}.yaml":
        sys.stdout.write(f"{file}: in a folder of lifecycles it is called {found.key}.yaml\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
