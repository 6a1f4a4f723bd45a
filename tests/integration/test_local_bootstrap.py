"""The bootstrap: uv installs from where pip would, and nothing is done twice."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from clm_local import bootstrap, java, paths
from clm_local.errors import LocalError

LISTING = """\
global.index-url='https://packages.example/simple'
global.cert='/etc/company.pem'
install.trusted-host='one.example two.example'
:env:.index-url='https://mirror.example/simple'
:env:.find-links='/opt/wheels /srv/wheels'
list.format='columns'
"""


def test_pips_environment_goes_before_its_files_and_other_commands_are_ignored() -> None:
    settings = bootstrap.pip_settings(LISTING)

    assert settings == {
        "index-url": "https://mirror.example/simple",
        "cert": "/etc/company.pem",
        "trusted-host": "one.example two.example",
        "find-links": "/opt/wheels /srv/wheels",
    }


def test_uv_looks_where_pip_does() -> None:
    environment = bootstrap.uv_environment(bootstrap.pip_settings(LISTING), {"PATH": "/bin"})

    assert environment == {
        "PATH": "/bin",
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "SSL_CERT_FILE": "/etc/company.pem",
        "UV_INSECURE_HOST": "one.example two.example",
        "UV_FIND_LINKS": "/opt/wheels,/srv/wheels",
    }


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_what_the_user_told_uv_stands(variable: str) -> None:
    mine = {variable: "https://mine.example/simple"}

    environment = bootstrap.uv_environment({"index-url": "https://pip.example/simple"}, mine)

    assert environment == mine


def test_the_developers_set_is_kept_when_only_the_other_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = paths.project_root()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    state = {"kind": "dev", "fingerprint": bootstrap.fingerprint(root, "dev")}
    (tmp_path / "installed.json").write_text(json.dumps(state))

    assert not bootstrap.install(root, "run")
    assert not bootstrap.install(root, "dev")


def test_the_fingerprint_follows_the_lock(tmp_path: Path) -> None:
    for name in (*bootstrap.LOCKS.values(), *(f"{it}/pyproject.toml" for it in bootstrap.PACKAGES)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    before = bootstrap.fingerprint(tmp_path, "run")

    (tmp_path / "requirements.lock").write_text("more==1")

    assert bootstrap.fingerprint(tmp_path, "run") != before


def fake_java(home: Path, version: str) -> Path:
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    program.chmod(0o755)
    return program


def test_the_first_java_that_is_new_enough_is_taken(tmp_path: Path) -> None:
    old = fake_java(tmp_path / "old", "11.0.2")
    new = fake_java(tmp_path / "new", "21.0.1")
    environ = {"JAVA_HOME": str(tmp_path / "old"), "PATH": str(new.parent)}

    found = java.find(tmp_path / "none", environ)

    assert java.look_at(old) is not None
    assert found is not None
    assert (found.program, found.major) == (new, 21)


def test_java_8_is_recognised_by_its_old_way_of_counting(tmp_path: Path) -> None:
    program = fake_java(tmp_path / "eight", "1.8.0_292")

    found = java.look_at(program)

    assert found is not None
    assert found.major == 8


def test_a_data_directory_that_cannot_be_made_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(LocalError) as refusal:
        paths.directory(tmp_path / "file" / "below")

    assert "CLM_DATA_DIR" in str(refusal.value)


def test_a_given_data_directory_is_used_and_two_projects_never_share_one(tmp_path: Path) -> None:
    given = paths.find({"CLM_DATA_DIR": str(tmp_path)})

    assert given.data == tmp_path
    assert paths.find({}).data != given.data


def test_a_secret_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    paths.write_secret(tmp_path / "secret", "first")
    paths.write_secret(tmp_path / "secret", "second")

    assert (tmp_path / "secret").read_text() == "second"
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert [it.name for it in tmp_path.iterdir()] == ["secret"]
