"""The newest revision: what is read in the files is what Alembic finds by running them."""

from __future__ import annotations

from pathlib import Path

import pytest

from clm_common.errors import DefinitionError
from clm_common.store.migrations import newest
from clm_common.store.upgrading import script_of

SERVICES = ("clm_engagement", "clm_ingest", "clm_metrics", "clm_stage_engine")


@pytest.mark.parametrize("package", SERVICES)
def test_what_is_read_in_a_services_files_is_what_alembic_finds(package: str) -> None:
    assert newest(package) == script_of(package).get_current_head()


@pytest.mark.parametrize(
    ("revisions", "says"),
    [({}, r"not \[\]"), ({"0002": '"0001"', "0003": '"0001"'}, r"not \['0002', '0003'\]")],
)
def test_a_service_without_one_newest_revision_is_refused(
    revisions: dict[str, str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = f"clm_with_{len(revisions)}"
    versions = tmp_path / package / "migrations" / "versions"
    versions.mkdir(parents=True)
    for revision, before in revisions.items():
        text = f'revision = "{revision}"\ndown_revision = {before}\n'
        (versions / f"{revision}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(DefinitionError, match=f"{package}: one revision .* {says}"):
        newest(package)
