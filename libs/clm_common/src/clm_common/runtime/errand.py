"""A command that does one piece of work and ends; its exit code says how (`sysexits.h`)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, Literal, TypeVar

from msgspec import Struct

from clm_common import telemetry
from clm_common.errors import ClmError, DefinitionError, Unavailable
from clm_common.runtime.service import CONFIG
from clm_common.settings import ServiceSettings, load

AWAY: Final = 75
"""Exit code where a server is away: the same command may be tried again (`EX_TEMPFAIL`)."""

INTERRUPTED: Final = 130
"""Exit code of a command that was interrupted, as shells give it."""

S = TypeVar("S", bound=ServiceSettings)
T = TypeVar("T")


class Errand(Struct, Generic[S], frozen=True):
    """How a command runs, and what it says where its work comes to nothing.

    Attributes:
        service: whose work it is.
        settings: the service's settings.
        goes_on: what is said after an interruption or an outage, such as "; --resume goes on".
        level: what is logged to standard error, at least.
        passing: the errors after which it is worth another try.
        wrong: the exit code where a definition is wrong.
    """

    service: str
    settings: type[S]
    goes_on: str
    level: Literal["warning", "error"] = "error"
    passing: tuple[type[ClmError], ...] = (Unavailable,)
    wrong: int = CONFIG

    def run(
        self,
        work: Callable[[S], Coroutine[Any, Any, T]],  # Any: what a coroutine yields and is sent
        tell: Callable[[T], int],
    ) -> int:
        """Do the work, then tell what came of it; gives the exit code.

        Args:
            work: does it.
            tell: writes the outcome, and gives the exit code.
        """
        try:
            settings = load(self.settings)
            telemetry.configure(self.service, form="console", level=self.level, stream=sys.stderr)
            with asyncio.Runner() as runner:
                outcome = runner.run(work(settings))
        except KeyboardInterrupt:
            sys.stderr.write(f"interrupted{self.goes_on}\n")
            return INTERRUPTED
        except self.passing as error:
            sys.stderr.write(f"{error}{self.goes_on}\n")
            return AWAY
        except ClmError as error:
            sys.stderr.write(f"{error}\n")
            return self.wrong if isinstance(error, DefinitionError) else CONFIG
        return tell(outcome)
