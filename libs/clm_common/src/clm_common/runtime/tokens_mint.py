"""Making what bearer tokens need: a pair of keys, the public set, and a signed token.

Only who mints tokens imports this (the `clm` command, tests); a service verifies them.
"""

from __future__ import annotations

import hashlib
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from clm_common.errors import SettingsError

Jwk = Mapping[str, Any]  # Any: JSON


class KeyPair(Struct, frozen=True):
    """A new pair of keys.

    Attributes:
        kid: the key's id, derived from the public key (RFC 7638).
        private: the private key, PEM (PKCS 8); a secret.
        public: the public key as a JWK.
    """

    kid: str
    private: str
    public: Jwk


def generate_key_pair() -> KeyPair:
    """Make a new Ed25519 pair."""
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    public = public_jwk(pem)
    return KeyPair(public["kid"], pem, public)


def public_jwk(private: str) -> Jwk:
    """Give the public half of a private key as a JWK.

    Args:
        private: PEM, as `generate_key_pair` made it.
    """
    raw = _load(private).public_key().public_bytes_raw()
    x = urlsafe_b64encode(raw).rstrip(b"=").decode()
    return {
        "kty": "OKP", "crv": "Ed25519", "x": x, "kid": _thumbprint(x), "use": "sig", "alg": "EdDSA",
    }  # fmt: skip


def jwks(public: Sequence[Jwk]) -> str:
    """Write public keys as a JWKS; the newest first, old ones as long as their tokens live.

    Args:
        public: the keys, as in `KeyPair.public`.
    """
    return json.dumps({"keys": list(public)}, indent=2)


def mint(  # noqa: PLR0913 - the claims of a token
    private: str,
    *,
    workspace: str,
    subject: str,
    scopes: Collection[str],
    seconds: float,
    issuer: str | None = None,
    audience: str | None = None,
) -> str:
    """Sign a bearer token.

    Args:
        private: the private key, PEM.
        workspace: whose data it opens.
        subject: who it is for, for the records.
        scopes: what it allows; `admin` allows all.
        seconds: how long it is good for.
        issuer: who signs it, where services insist on that.
        audience: whom it is for, where services insist on that.
    """
    now = int(time.time())
    claims = {
        "workspace": workspace,
        "sub": subject,
        "scope": " ".join(sorted(scopes)),
        "iat": now,
        "exp": now + round(seconds),
        "iss": issuer,
        "aud": audience,
    }
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None},
        _load(private),
        algorithm="EdDSA",
        headers={"kid": public_jwk(private)["kid"]},
    )


def _load(private: str) -> Ed25519PrivateKey:
    key = serialization.load_pem_private_key(private.encode(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise SettingsError("tokens.not_ed25519", "the private key must be an Ed25519 key")
    return key


def _thumbprint(x: str) -> str:
    """Derive a key's id from it (RFC 7638 with the members RFC 8037 names)."""
    members = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":"))
    return urlsafe_b64encode(hashlib.sha256(members.encode()).digest()).rstrip(b"=").decode()
