"""Bearer tokens: who asks, and every way a token can be wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from clm_common.errors import Rejected, SettingsError
from clm_common.runtime.tokens import Principal, Verifier, generate_key_pair, jwks, mint
from clm_common.runtime.tokens_keys import KeyFile, keys_of

OURS = generate_key_pair()
FOREIGN = generate_key_pair()

Claims = dict[str, Any]  # Any: a token's JSON


def verifier(*, issuer: str | None = None, audience: str | None = None) -> Verifier:
    return Verifier(keys_of(jwks([OURS.public]), None), issuer=issuer, audience=audience)


def token(
    private: str = OURS.private,
    *,
    seconds: float = 60,
    issuer: str | None = None,
    audience: str | None = None,
) -> str:
    return mint(
        private,
        workspace="acme",
        subject="jane",
        scopes=("profiles:read",),
        seconds=seconds,
        issuer=issuer,
        audience=audience,
    )


def signed(claims: Claims, *, kid: str | None = OURS.kid) -> str:
    """Sign claims that `mint` would never make."""
    headers = {} if kid is None else {"kid": kid}
    return jwt.encode(claims, OURS.private, algorithm="EdDSA", headers=headers)


def good_claims() -> Claims:
    return {"workspace": "acme", "sub": "jane", "scope": "a b", "exp": time.time() + 60}


def part(content: Claims) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def unsigned() -> str:
    return f"{part({'alg': 'none', 'typ': 'JWT', 'kid': OURS.kid})}.{part(good_claims())}."


def signed_with_the_public_key(secret: bytes) -> str:
    """Forge a token: HMAC with the public key as the secret, hoping that it is taken for one."""
    content = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': OURS.kid})}.{part(good_claims())}"
    digest = hmac.new(secret, content.encode(), hashlib.sha256).digest()
    return f"{content}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def public_pem() -> bytes:
    key = serialization.load_pem_private_key(OURS.private.encode(), None)
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


async def refusal(bad: str, by: Verifier | None = None) -> str:
    with pytest.raises(Rejected) as caught:
        await (by or verifier()).verify(bad)
    assert caught.value.status == 401
    return caught.value.slug


async def says_jane(by: Verifier, good: str) -> bool:
    return (await by.verify(good)).subject == "jane"


async def test_a_token_says_who_asks() -> None:
    found = await verifier().verify(token())

    assert found == Principal("acme", "jane", frozenset({"profiles:read"}))


def test_admin_may_do_everything_and_others_what_they_name() -> None:
    admin = Principal("acme", "jane", frozenset({"admin"}))
    reader = Principal("acme", "joe", frozenset({"profiles:read"}))

    assert admin.may("profiles:write")
    assert reader.may("profiles:read")
    assert not reader.may("profiles:write")


async def test_an_expired_token_is_refused() -> None:
    assert await refusal(token(seconds=-60)) == "token.expired"


async def test_a_token_of_somebody_elses_key_is_refused() -> None:
    assert await refusal(token(FOREIGN.private)) == "token.key_unknown"


async def test_a_foreign_signature_under_our_keys_name_is_refused() -> None:
    forged = jwt.encode(
        good_claims(), FOREIGN.private, algorithm="EdDSA", headers={"kid": OURS.kid}
    )

    assert await refusal(forged) == "token.invalid"


async def test_an_unsigned_token_is_refused() -> None:
    assert await refusal(unsigned()) == "token.algorithm"


@pytest.mark.parametrize(
    "secret",
    [public_pem(), base64.urlsafe_b64decode(OURS.public["x"] + "="), jwks([OURS.public]).encode()],
    ids=["pem", "raw", "jwks"],
)
async def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(secret: bytes) -> None:
    assert await refusal(signed_with_the_public_key(secret)) == "token.algorithm"


async def test_a_changed_token_is_refused() -> None:
    head, _, signature = token().split(".")
    claims = part(good_claims() | {"workspace": "globex"})

    assert await refusal(f"{head}.{claims}.{signature}") == "token.invalid"


@pytest.mark.parametrize("missing", ["exp", "sub", "workspace"])
async def test_a_token_that_says_too_little_is_refused(missing: str) -> None:
    claims = {name: value for name, value in good_claims().items() if name != missing}

    assert await refusal(signed(claims)) == "token.incomplete"


@pytest.mark.parametrize("claim", [{"workspace": ""}, {"workspace": 7}, {"scope": ["admin"]}])
async def test_a_token_with_claims_of_another_kind_is_refused(claim: Claims) -> None:
    assert await refusal(signed(good_claims() | claim)) == "token.incomplete"


async def test_a_token_that_is_not_good_yet_is_refused() -> None:
    later = signed(good_claims() | {"nbf": time.time() + 600, "exp": time.time() + 900})

    assert await refusal(later) == "token.invalid"


@pytest.mark.parametrize("junk", ["", "x", "a.b.c", "ä.ö.ü", "x" * 9000, "e30.e30.e30"])
async def test_what_is_no_token_is_refused(junk: str) -> None:
    assert (await refusal(junk)).startswith("token.")


async def test_without_a_kid_the_only_key_is_tried() -> None:
    found = await verifier().verify(signed(good_claims(), kid=None))

    assert found.subject == "jane"


@pytest.mark.parametrize("issuer", [None, "https://evil.example/"])
async def test_a_foreign_issuer_is_refused_where_one_is_named(issuer: str | None) -> None:
    strict = verifier(issuer="https://login.example/")

    slug = await refusal(token(issuer=issuer), strict)

    assert slug in {"token.issuer", "token.incomplete"}
    assert await says_jane(strict, token(issuer="https://login.example/"))


@pytest.mark.parametrize("audience", [None, "billing"])
async def test_a_token_for_somebody_else_is_refused_where_an_audience_is_named(
    audience: str | None,
) -> None:
    strict = verifier(audience="clm")

    slug = await refusal(token(audience=audience), strict)

    assert slug in {"token.audience", "token.incomplete"}
    assert await says_jane(strict, token(audience="clm"))


async def test_old_and_new_keys_are_both_taken_while_keys_rotate() -> None:
    both = Verifier(keys_of(jwks([FOREIGN.public, OURS.public]), None))

    assert await says_jane(both, token())
    assert await says_jane(both, token(FOREIGN.private))


async def test_without_any_key_every_token_is_refused() -> None:
    assert await refusal(token(), Verifier(keys_of(None, None))) == "token.key_unknown"


async def test_a_key_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(jwks([OURS.public]))
    rotating = Verifier(KeyFile(path))
    await rotating.verify(token())

    path.write_text(jwks([FOREIGN.public, FOREIGN.public]))

    assert await says_jane(rotating, token(FOREIGN.private))
    assert await refusal(token(), rotating) == "token.key_unknown"


async def test_a_key_file_that_breaks_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text(jwks([OURS.public]))
    keeping = Verifier(KeyFile(path))

    path.write_text("{ half a fi")

    assert await says_jane(keeping, token())
    path.unlink()
    assert await says_jane(keeping, token())


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "jwks.json"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    "setting",
    [
        "{ half an obj",
        '{"keys": []}',
        '{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "1", "alg": "HS256"}]}',
        "/nowhere/jwks.json",
    ],
    ids=["broken", "empty", "symmetric", "missing"],
)
def test_a_key_set_that_cannot_work_names_the_setting(setting: str) -> None:
    with pytest.raises(SettingsError, match="CLM_TOKEN_KEYS"):
        keys_of(setting, None)


def test_a_file_that_is_no_key_set_names_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_text("[]")

    with pytest.raises(SettingsError, match=r"CLM_TOKEN_KEYS=.*jwks\.json"):
        keys_of(str(path), None)


def test_a_keys_id_follows_from_the_key() -> None:
    assert OURS.kid == OURS.public["kid"] != FOREIGN.kid
