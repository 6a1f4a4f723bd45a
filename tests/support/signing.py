"""Signs webhooks as their senders do, written from their documents and apart from our own code."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Final

from clm_ingest.core.signatures import Scheme

ID: Final = "msg_p5jXN8AQM9LWM0D4loKWxJek"

SECRETS: Final[Mapping[Scheme, str]] = {
    "standard-webhooks": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "stripe": "whsec_test_secret",
    "shopify": "hush",
    "github": "It's a Secret to Everybody",
}


def _mac(key: bytes, content: bytes) -> "hmac.HMAC":
    return hmac.new(key, content, hashlib.sha256)


def _standard(secret: str, body: bytes, at: int) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = _mac(key, f"{ID}.{at}.".encode() + body).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": ID, "webhook-timestamp": str(at), "webhook-signature": signature}


def _stripe(secret: str, body: bytes, at: int) -> dict[str, str]:
    digest = _mac(secret.encode(), f"{at}.".encode() + body).hexdigest()
    return {"stripe-signature": f"t={at},v1={digest}"}


def _shopify(secret: str, body: bytes, _at: int) -> dict[str, str]:
    digest = _mac(secret.encode(), body).digest()
    return {"x-shopify-hmac-sha256": base64.b64encode(digest).decode()}


def _github(secret: str, body: bytes, _at: int) -> dict[str, str]:
    return {"x-hub-signature-256": f"sha256={_mac(secret.encode(), body).hexdigest()}"}


_SIGNERS: Final[Mapping[Scheme, Callable[[str, bytes, int], dict[str, str]]]] = {
    "standard-webhooks": _standard,
    "stripe": _stripe,
    "shopify": _shopify,
    "github": _github,
}


def signed(scheme: Scheme, secret: str, body: bytes, *, at: int) -> dict[str, str]:
    """Give the headers of a signed body; `at` is in seconds since 1970."""
    return _SIGNERS[scheme](secret, body, at)
