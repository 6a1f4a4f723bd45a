"""The SDKs of others, unchanged: installed from npm by lock file, bundled for pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal, get_args

from tests.support import node

_SOURCE: Final = node.ROOT / "tests" / "node" / "sdks"


def workshop(folder: Path) -> Path:
    """Give a directory with the scripts that use the SDKs, where scripts can import the SDKs.

    They are the locked ones, or with `CLM_TEST_SDKS` the `newest` published or the `oldest` that
    `package.json` names.

    Args:
        folder: where to make it.
    """
    wished = os.environ.get("CLM_TEST_SDKS", "locked")
    versions = next((it for it in get_args(node.Versions) if it == wished), None)
    assert versions is not None, f"CLM_TEST_SDKS is newest or oldest, not {wished}"
    installed = node.install(_SOURCE, versions)
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
