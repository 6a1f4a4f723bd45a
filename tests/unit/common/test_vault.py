"""Secrets are sealed for their owner, and opened by any of the keys that there are."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_common.errors import Rejected
from clm_common.store.vault import Vault

OLD, NEW = b"an old random text of 32 letters", b"a new random text of 32 letters!"
USE = b"tests"
OWNER, OTHER = UUID(int=1), UUID(int=2)


@given(st.text(max_size=100))
def test_what_was_sealed_is_opened_again_and_cannot_be_read_meanwhile(secret: str) -> None:
    vault = Vault(USE, [NEW])

    sealed = vault.seal(secret, OWNER)

    assert vault.open(sealed, OWNER) == secret
    assert sealed != vault.seal(secret, OWNER), "nobody can see that two secrets are the same"
    assert len(secret) < 4 or secret.encode() not in sealed


def test_a_key_that_was_replaced_opens_what_it_sealed_while_it_stands_behind_the_new_one() -> None:
    sealed = Vault(USE, [OLD]).seal("hush", OWNER)

    assert Vault(USE, [NEW, OLD]).open(sealed, OWNER) == "hush"
    assert Vault(USE, [NEW]).open(sealed, OWNER) is None
    assert Vault(USE, [OLD]).open(Vault(USE, [NEW, OLD]).seal("hush", OWNER), OWNER) is None


def test_a_secret_that_was_moved_to_another_owner_is_not_opened() -> None:
    vault = Vault(USE, [NEW])

    assert vault.open(vault.seal("hush", OWNER), OTHER) is None


def test_a_vault_of_another_purpose_does_not_open_it() -> None:
    assert Vault(b"other", [NEW]).open(Vault(USE, [NEW]).seal("hush", OWNER), OWNER) is None


@given(st.binary(max_size=60))
def test_what_nobody_sealed_is_not_opened(sealed: bytes) -> None:
    assert Vault(USE, [NEW]).open(sealed, OWNER) is None


def test_without_a_key_nothing_is_sealed() -> None:
    with pytest.raises(Rejected, match="CLM_SECRETS_KEY"):
        Vault(USE).seal("hush", OWNER)
