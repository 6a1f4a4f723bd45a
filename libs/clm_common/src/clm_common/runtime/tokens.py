"""Who may ask what: bearer tokens (JWT) are checked and bound to a workspace.

A service keeps its `Verifier` in `app.state.verifier`; a route states what it needs:
`who: Annotated[Principal, Depends(require("profiles:read"))]`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Self

import jwt
from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from jwt.exceptions import (
    ExpiredSignatureError,
    InvalidAudienceError,
    InvalidIssuerError,
    MissingRequiredClaimError,
    PyJWTError,
)
from msgspec import Struct

from clm_common.errors import Rejected
from clm_common.runtime.tokens_keys import ALGORITHMS, Keys, keys_of
from clm_common.runtime.tokens_mint import KeyPair, generate_key_pair, jwks, mint, public_jwk
from clm_common.settings import ServiceSettings

__all__ = [
    "ADMIN",
    "KeyPair",
    "Principal",
    "Verifier",
    "generate_key_pair",
    "jwks",
    "mint",
    "public_jwk",
    "require",
]

ADMIN: Final = "admin"
"""The scope that allows everything in its workspace."""

_LEEWAY: Final = 10  # seconds that clocks may differ
_LONGEST: Final = 8192  # characters

_SAYINGS: Final[dict[type[Exception], tuple[str, str]]] = {
    ExpiredSignatureError: ("token.expired", "The token has expired; get a new one."),
    InvalidIssuerError: ("token.issuer", "The token is from somebody we do not take tokens from."),
    InvalidAudienceError: ("token.audience", "The token is meant for somebody else."),
    MissingRequiredClaimError: ("token.incomplete", "The token needs the claims exp and sub."),
}

_bearer: Final = HTTPBearer(
    auto_error=False, bearerFormat="JWT", description="A token of your workspace."
)


class Principal(Struct, frozen=True):
    """Who asks.

    Attributes:
        workspace: whose data may be seen: every query is bound to it.
        subject: who it is, for the records.
        scopes: what the token allows.
    """

    workspace: str
    subject: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Tell whether the token allows something; `admin` allows all."""
        return scope in self.scopes or ADMIN in self.scopes


class Verifier:
    """Checks bearer tokens against public keys."""

    def __init__(
        self, keys: Keys, *, issuer: str | None = None, audience: str | None = None
    ) -> None:
        """Make one.

        Args:
            keys: finds the key that a token names.
            issuer: the only issuer whose tokens are taken; None takes any that the keys sign.
            audience: whom a token must be for; None takes any.
        """
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    @classmethod
    def of(cls, settings: ServiceSettings) -> Self:
        """Make the verifier that a service's settings describe.

        Raises:
            SettingsError: the key set is no key set.
        """
        keys = keys_of(settings.token_keys, settings.jwks_url)
        return cls(keys, issuer=settings.token_issuer, audience=settings.token_audience)

    async def verify(self, token: str) -> Principal:
        """Say whose token it is.

        Raises:
            Rejected: 401; it is no token, not ours, expired, or says too little.
            Unavailable: whether it is good cannot be known now.
        """
        if len(token) > _LONGEST:
            raise _refused("token.invalid", "This is no token of ours.")
        try:
            header = jwt.get_unverified_header(token)
        except PyJWTError as error:
            raise _refused("token.invalid", "This is no token of ours.") from error
        kid = header.get("kid")
        if header.get("alg") not in ALGORITHMS:
            raise _refused("token.algorithm", "The token is not signed as ours are.")
        key = await self._keys.find(kid if isinstance(kid, str) else None)
        if key is None:
            raise _refused("token.key_unknown", "The token is signed with a key we do not know.")
        return _principal(self._claims(token, key))

    def _claims(self, token: str, key: jwt.PyJWK) -> dict[str, Any]:  # Any: the token's claims
        try:
            return jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name],  # the key's, never the token's own choice
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY,
                options={"require": ["exp", "sub"], "verify_aud": self._audience is not None},
            )
        except PyJWTError as error:
            unknown = ("token.invalid", "The token's signature or content is not good.")
            raise _refused(*_SAYINGS.get(type(error), unknown)) from error


def require(scope: str) -> Callable[..., Awaitable[Principal]]:
    """Give the FastAPI dependency of a route that needs a scope.

    Args:
        scope: for example `profiles:read`.
    """

    async def principal(
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> Principal:
        if credentials is None:
            raise Rejected(
                401, "token.missing", "Send `Authorization: Bearer <token>` with a token."
            )
        verifier: Verifier = request.app.state.verifier
        found = await verifier.verify(credentials.credentials)
        if not found.may(scope):
            raise Rejected(
                403, "token.scope", f"The token does not allow {scope}; get one that does.",
                scope=scope,
            )  # fmt: skip
        return found

    return principal


def _principal(claims: dict[str, Any]) -> Principal:  # Any: the token's claims
    workspace, subject, scope = claims.get("workspace"), claims["sub"], claims.get("scope", "")
    if not (isinstance(workspace, str) and workspace and isinstance(scope, str)):
        raise _refused("token.incomplete", "The token needs the claims workspace and scope.")
    return Principal(workspace, str(subject), frozenset(scope.split()))


def _refused(slug: str, message: str) -> Rejected:
    return Rejected(401, slug, message)
