"""Secrets are sealed for their owner, and opened by any of the keys that there are."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_common.errors import Rejected
from clm_ingest.store import Vault

OLD, NEW = b"an old random text of 32 letters", b"a new random text of 32 letters!"
OWNER, OTHER = UUID(int=1), UUID(int=2)


@given(st.text(max_size=100))
def test_what_was_sealed_is_opened_again_and_cannot_be_read_meanwhile(secret: str) -> None:
    vault = Vault([NEW])

    sealed = vault.seal(secret, OWNER)

    assert vault.open(sealed, OWNER) == secret
    assert sealed != vault.seal(secret, OWNER), "nobody can see that two secrets are the same"
    assert len(secret) < 4 or secret.encode() not in sealed


def test_a_key_that_was_replaced_opens_what_it_sealed_while_it_stands_behind_the_new_one() -> None:
    sealed = Vault([OLD]).seal("hush", OWNER)

    assert Vault([NEW, OLD]).open(sealed, OWNER) == "hush"
    assert Vault([NEW]).open(sealed, OWNER) is None
    assert Vault([OLD]).open(Vault([NEW, OLD]).seal("hush", OWNER), OWNER) is None


def test_a_secret_that_was_moved_to_another_owner_is_not_opened() -> None:
    vault = Vault([NEW])

    assert vault.open(vault.seal("hush", OWNER), OTHER) is None


@given(st.binary(max_size=60))
def test_what_nobody_sealed_is_not_opened(sealed: bytes) -> None:
    assert Vault([NEW]).open(sealed, OWNER) is None


def test_without_a_key_nothing_is_sealed() -> None:
    with pytest.raises(Rejected, match="CLM_SECRETS_KEY"):
        Vault().seal("hush", OWNER)
