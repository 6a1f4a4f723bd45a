"""The browser script that is served is the one whose source stands in the repository."""

from pathlib import Path

import pytest

from clm_ingest import script
from tests.support import node

SOURCE = node.ROOT / "services" / "ingest" / "clm.js"

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def workshop() -> Path:
    """Give a copy of the source with its tools installed."""
    installed = node.install(SOURCE)
    for name in ("src", "build.mjs", "tsconfig.json"):
        place = installed / name
        if not place.exists():
            place.symlink_to(SOURCE / name)
    return installed


def test_building_the_source_gives_the_committed_script(workshop: Path, tmp_path: Path) -> None:
    node.run(["--preserve-symlinks-main", "build.mjs", str(tmp_path / "clm.js")], cwd=workshop)

    built = (tmp_path / "clm.js").read_bytes()
    assert built == script.load().text, "run `npm run build` in services/ingest/clm.js and commit"


def test_the_source_is_well_typed(workshop: Path) -> None:
    node.run(["node_modules/typescript/bin/tsc", "--preserveSymlinks"], cwd=workshop)
