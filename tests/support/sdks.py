"""The SDKs of others, unchanged: installed from npm by lock file, bundled for pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

from tests.support import node

_SOURCE: Final = node.ROOT / "tests" / "node" / "sdks"


def workshop(folder: Path) -> Path:
    """Give a directory with the scripts that use the SDKs, where scripts can import the SDKs.

    They are the locked ones, or the newest published ones with `CLM_TEST_SDKS=newest`.

    Args:
        folder: where to make it.
    """
    installed = node.install(_SOURCE, newest=os.environ.get("CLM_TEST_SDKS") == "newest")
    made = folder / "workshop"
    shutil.copytree(_SOURCE, made)
    (made / "node_modules").symlink_to(installed / "node_modules")
    return made


def bundle(
    workshop: Path, scripts: Iterable[Path], into: Path, *, form: Literal["iife", "esm"] = "iife"
) -> None:
    """Bundle browsers' scripts with the SDKs they import, each to a file of the same name.

    Args:
        workshop: what `workshop` gave.
        scripts: the scripts.
        into: the directory that gets the bundles.
        form: `esm` for scripts that await at their top level, to be run as modules.
    """
    node.run(["bundle.mjs", str(into), form, *map(str, scripts)], cwd=workshop)
