"""Keys and tokens of the local system."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from clm_common.runtime.tokens import Verifier
from clm_common.runtime.tokens_keys import keys_of
from clm_local import tokens
from clm_local.cli.token import seconds_of
from clm_local.errors import LocalError
from clm_local.paths import Paths


async def test_a_minted_token_opens_the_services_that_know_the_public_key(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    tokens.ensure_keys(paths)

    minted = tokens.mint(paths, "local", scopes=["profiles:read"], seconds=60)

    verifier = Verifier(keys_of(str(tokens.public_keys(paths)), None))
    principal = await verifier.verify(minted)
    assert principal.workspace == "local"
    assert principal.may("profiles:read")
    assert not principal.may("admin")


def test_keys_are_made_once_and_the_private_one_is_secret(tmp_path: Path) -> None:
    paths = Paths(tmp_path)

    tokens.ensure_keys(paths)
    first = tokens.private_key(paths).read_text()
    tokens.ensure_keys(paths)

    assert tokens.private_key(paths).read_text() == first
    assert stat.S_IMODE(tokens.private_key(paths).stat().st_mode) == 0o600
    assert "PRIVATE" not in tokens.public_keys(paths).read_text()


def test_the_public_key_can_be_made_again_from_the_private_one(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    tokens.ensure_keys(paths)
    private = tokens.private_key(paths).read_text()
    published = tokens.public_keys(paths).read_text()

    tokens.public_keys(paths).unlink()
    tokens.ensure_keys(paths)

    assert tokens.private_key(paths).read_text() == private
    assert tokens.public_keys(paths).read_text() == published


def test_without_keys_the_advice_is_to_start(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match="clm up"):
        tokens.mint(Paths(tmp_path), "local", scopes=["admin"], seconds=60)


@pytest.mark.parametrize(
    ("text", "seconds"), [("45s", 45), ("30m", 1800), ("12h", 43_200), ("7d", 604_800)]
)
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "12", "h", "-1h", "0h", "1.5h", "1w", "9999999d"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(LocalError, match="30m, 12h or 7d"):
        seconds_of(text)
