"""The keys that sign the local system's bearer tokens, made at the first start.

The private key stays in the data directory, for its owner alone; services get the public one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clm_common.contracts.sealing import EVERYWHERE, SCOPE
from clm_common.runtime.tokens_mint import generate_key_pair, jwks, public_jwk
from clm_common.runtime.tokens_mint import mint as sign
from clm_local.errors import LocalError
from clm_local.paths import Paths, directory, write_secret

LIFE = 90 * 86_400
"""Seconds that the workspace's own token is good for, and that of the services."""

RENEWED_BEFORE = 30 * 86_400
"""Seconds before its end at which `clm up` renews it."""


def ensure_keys(paths: Paths) -> None:
    """Make the key pair unless it is there, and publish its public half."""
    private = private_key(paths)
    directory(private.parent)
    if not private.exists():
        write_secret(private, generate_key_pair().private)
    if not public_keys(paths).exists():
        write_secret(public_keys(paths), jwks([public_jwk(private.read_text())]))


def renew_journey_token(paths: Paths) -> None:
    """Write the token by which services get the keys of a sealed river, good for `LIFE`."""
    minted = mint(paths, EVERYWHERE, scopes=(SCOPE,), seconds=LIFE, subject="clm-services")
    write_secret(journey_token(paths), minted)


def mint(
    paths: Paths,
    workspace: str,
    *,
    scopes: Sequence[str],
    seconds: int,
    subject: str = "clm-cli",
) -> str:
    """Give a bearer token.

    Raises:
        LocalError: there are no keys yet, or they cannot be read.
    """
    try:
        private = private_key(paths).read_text()
    except OSError as error:
        raise LocalError(
            "no-keys", f"There are no keys to sign with ({error.strerror}); `clm up` makes them."
        ) from error
    return sign(private, workspace=workspace, subject=subject, scopes=scopes, seconds=seconds)


def public_keys(paths: Paths) -> Path:
    """Where the public keys are, as a JWKS."""
    return paths.data / "keys" / "jwks.json"


def journey_token(paths: Paths) -> Path:
    """Where the token is by which services get the keys of a sealed river."""
    return paths.data / "keys" / "journey-keys.token"


def private_key(paths: Paths) -> Path:
    """Where the private key is, PEM."""
    return paths.data / "keys" / "private.pem"
