"""Signatures of webhooks: who sent a body, by an HMAC-SHA256 over it with a secret of both. Pure.

A scheme says which headers carry the signature and what it covers; a new one is a function in
`SCHEMES`. The signature is looked at before the time, so that only a true sender learns that its
clock is wrong. Digests are compared in constant time, and every secret is tried.

- Standard Webhooks: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
- Stripe: https://docs.stripe.com/webhooks#verify-manually
- Shopify: https://shopify.dev/docs/apps/build/webhooks/subscribe/https
- GitHub: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
"""

import base64
import binascii
import hmac
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

from clm_common.errors import Rejected
from clm_common.instant import SECOND

Scheme: TypeAlias = Literal["standard-webhooks", "stripe", "shopify", "github"]

NAMES: Final[tuple[Scheme, ...]] = get_args(Scheme)
WINDOW: Final = 300
"""Seconds by which the time of a signature may differ from ours, as the schemes propose."""

_PREFIX: Final = "whsec_"
_MOST: Final = 16
"""Signatures of one request that are looked at; a sender has one for each secret in use."""
_LONGEST_TIME: Final = 12

Headers: TypeAlias = Mapping[bytes, bytes]


class Signed(Struct, frozen=True):
    """What a request says about its signature.

    Attributes:
        content: the bytes that are signed.
        digests: the signatures; one good one is enough.
        at: seconds since 1970; when it was signed, where the scheme says so.
    """

    content: bytes
    digests: Sequence[bytes]
    at: int | None = None


def verify(
    scheme: Scheme,
    secrets: Sequence[str],
    headers: Headers,
    body: bytes,
    *,
    now: int,
    window: int = WINDOW,
) -> None:
    """Return if a body was signed with one of the secrets.

    Args:
        scheme: how it is signed.
        secrets: those that are taken; each in the form in which the scheme shows it to people.
        headers: of the request, names in lower case.
        body: as it was sent.
        now: µs since 1970.
        window: seconds by which the time of the signature may differ from now.

    Raises:
        Rejected: 401, with `signature.missing`, `.malformed`, `.wrong`, `.too_old` or `.too_new`.
    """
    read, key_of = SCHEMES[scheme]
    signed = read(headers, body)
    right = [hmac.digest(key_of(secret), signed.content, "sha256") for secret in secrets]
    good = [hmac.compare_digest(own, given) for own in right for given in signed.digests]
    if not any(good):  # all were compared: the time does not tell which of them it was
        detail = f"no signature of the {scheme} scheme was made over this body with the secret here"
        raise Rejected(401, "signature.wrong", detail)
    if signed.at is not None:
        _check_time(signed.at, now, window)


def check_secret(scheme: Scheme, secret: str) -> None:
    """Return if a secret can be one of a scheme.

    Raises:
        Rejected: 422 if it is empty, or not of the form that the scheme has.
    """
    try:
        long_enough = bool(SCHEMES[scheme][1](secret))
    except (binascii.Error, ValueError):
        long_enough = False
    if not long_enough:
        form = " whsec_ and base64" if scheme == "standard-webhooks" else " some text"
        raise Rejected(422, "hook.secret_invalid", f"a secret of the {scheme} scheme is{form}")


def _check_time(at: int, now: int, window: int) -> None:
    age = now // SECOND - at
    if age > window:
        detail = f"it was signed {age} s ago; {window} s are allowed, so that nobody sends it again"
        raise Rejected(401, "signature.too_old", detail)
    if age < -window:
        detail = f"it is signed {-age} s ahead of our clock; {window} s are allowed"
        raise Rejected(401, "signature.too_new", detail)


def _standard_webhooks(headers: Headers, body: bytes) -> Signed:
    sender = _header(headers, b"webhook-id")
    stamp = _header(headers, b"webhook-timestamp")
    given = _header(headers, b"webhook-signature").split(b" ")
    versions = (each.partition(b",") for each in given[:_MOST])
    digests = [_base64(text) for version, _, text in versions if version == b"v1"]
    content = b".".join((sender, stamp, body))
    return Signed(content, _some(digests, b"webhook-signature"), _time(stamp, b"webhook-timestamp"))


def _stripe(headers: Headers, body: bytes) -> Signed:
    name = b"stripe-signature"
    pairs = [it.strip().partition(b"=") for it in _header(headers, name).split(b",")]
    stamp = next((value for key, _, value in pairs if key == b"t"), b"")
    digests = [_hex(value) for key, _, value in pairs if key == b"v1"][:_MOST]
    return Signed(b".".join((stamp, body)), _some(digests, name), _time(stamp, name))


def _shopify(headers: Headers, body: bytes) -> Signed:
    name = b"x-shopify-hmac-sha256"
    return Signed(body, _some([_base64(_header(headers, name))], name))


def _github(headers: Headers, body: bytes) -> Signed:
    name = b"x-hub-signature-256"
    algorithm, _, digest = _header(headers, name).partition(b"=")
    return Signed(body, _some([_hex(digest)] if algorithm == b"sha256" else [], name))


def _header(headers: Headers, name: bytes) -> bytes:
    value = headers.get(name, b"").strip()
    if not value:
        raise Rejected(401, "signature.missing", f"there is no header {name.decode()}")
    return value


def _some(digests: Sequence[bytes], name: bytes) -> Sequence[bytes]:
    whole = [it for it in digests if it]
    if not whole:
        raise Rejected(
            401, "signature.malformed", f"{name.decode()} holds no signature we can read"
        )
    return whole


def _time(stamp: bytes, name: bytes) -> int:
    if not stamp.isdigit() or len(stamp) > _LONGEST_TIME:
        detail = f"{name.decode()} does not say when it was signed, in seconds since 1970"
        raise Rejected(401, "signature.malformed", detail)
    return int(stamp)


def _base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""


def _hex(text: bytes) -> bytes:
    try:
        return binascii.unhexlify(text)
    except binascii.Error:
        return b""


def _standard_key(secret: str) -> bytes:
    return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)


SCHEMES: Final[
    Mapping[Scheme, tuple[Callable[[Headers, bytes], Signed], Callable[[str], bytes]]]
] = {
    "standard-webhooks": (_standard_webhooks, _standard_key),
    "stripe": (_stripe, str.encode),
    "shopify": (_shopify, str.encode),
    "github": (_github, str.encode),
}
"""How a scheme is read, and how its secret becomes a key."""
