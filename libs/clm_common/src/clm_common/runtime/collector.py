"""The garbage collector, kept from looking at what is freed without it.

Folding a batch makes hundreds of thousands of objects that live until its end and hold no cycle.
Looking at them again and again cost a fifth of the worker's CPU.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

YOUNG: Final = 50_000
"""Objects by which more have come than gone before the collector looks at the young ones."""


def calm() -> None:
    """Spare what lives from the start on; call it once, when a process is prepared."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 50)


@contextmanager
def undisturbed() -> Generator[None]:
    """Run a block without the collector; by its end it should have dropped what it made."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
