"""Serves `clm.js`, the browser script, at a path the company chooses.

Three addresses give the same bytes: the chosen one, which is asked about again every hour; one with
the bytes' hash in it, which can be kept for ever; and the one that Segment's snippet asks for.
A fourth tells where the script is, with its integrity hash and the tag to paste.
"""

import base64
import gzip
import hashlib
from functools import cache
from importlib import resources
from typing import Final

from msgspec import Struct
from starlette.types import Receive

from clm_common.errors import Rejected
from clm_ingest import answers
from clm_ingest.answers import Answer
from clm_ingest.core.request import Request
from clm_ingest.table import Desk, Doc, Respond, Route

PATH: Final = "/clm.js"
"""Where the script is unless the settings say otherwise."""

_SEGMENT: Final = "/analytics.js/v1/{write_key}/analytics.min.js"
_KIND: Final = "text/javascript"
_TYPE: Final = (b"content-type", f"{_KIND}; charset=utf-8".encode())
_SHARED: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"vary", b"Accept-Encoding"),
)
_HOUR: Final = (b"cache-control", b"public, max-age=3600, stale-while-revalidate=86400")
_EVER: Final = (b"cache-control", b"public, max-age=31536000, immutable")


class Script(Struct, frozen=True):
    """The built script.

    Attributes:
        text: its bytes.
        zipped: the same, gzipped.
        digest: their SHA-384.
    """

    text: bytes
    zipped: bytes
    digest: bytes

    @property
    def integrity(self) -> str:
        """What a tag's `integrity` must say (Subresource Integrity)."""
        return f"sha384-{base64.b64encode(self.digest).decode()}"

    @property
    def tag(self) -> str:
        """Name these bytes shortly, in an address and as an `ETag`."""
        return self.digest.hex()[:16]


class ScriptView(Struct):
    """Where the browser script is.

    Attributes:
        url: its address; a newer version appears there within an hour.
        pinned_url: the address of exactly this version, for use with `integrity`.
        integrity: the hash that a browser checks.
        html: the tag to paste into a page, before the write key is put in.
    """

    url: str
    pinned_url: str
    integrity: str
    html: str


@cache
def load() -> Script:
    """Read the script that was built into this package."""
    text = (resources.files("clm_ingest") / "static" / "clm.js").read_bytes()
    return Script(text, gzip.compress(text, mtime=0), hashlib.sha384(text).digest())


def routes(path: str = PATH) -> tuple[Route, ...]:
    """Give the routes that serve the script.

    Args:
        path: the address the company chose; it begins with a slash.
    """
    script = load()
    pinned = f"{path.removesuffix('.js')}-{{version}}.js"
    served = Doc("The browser script", gives=_KIND, open=True, tag="clm.js")
    exact = Doc(
        "The browser script of one version", gives=_KIND, errors=(404,), open=True, tag="clm.js"
    )
    return (
        Route("GET", path, _serve(script, _HOUR), served, (_SEGMENT,)),
        Route("GET", pinned, _serve(script, _EVER), exact),
        Route(
            "GET",
            "/v1/script",
            _describe(script, path, pinned.format(version=script.tag)),
            Doc("Where the browser script is", gives=ScriptView, open=True, tag="clm.js"),
        ),
    )


def _serve(script: Script, keep: tuple[bytes, bytes]) -> Respond:
    tag = f'"{script.tag}"'.encode()
    headers = (*_SHARED, keep, (b"etag", tag))
    plain = Answer(200, script.text, headers, _TYPE)
    zipped = Answer(200, script.zipped, (*headers, (b"content-encoding", b"gzip")), _TYPE)
    unchanged = Answer(304, b"", headers, _TYPE)

    async def respond(_desk: Desk, request: Request, _receive: Receive) -> Answer:
        if request.params.get("version", script.tag) != script.tag:
            detail = "this version of the script is gone; /v1/script tells the present one"
            raise Rejected(404, "script.version", detail)
        if tag in request.header(b"if-none-match"):
            return unchanged
        return zipped if b"gzip" in request.header(b"accept-encoding") else plain

    return respond


def _describe(script: Script, path: str, pinned: str) -> Respond:
    async def respond(desk: Desk, request: Request, _receive: Receive) -> Answer:
        host = desk.address(request)
        tag = f'<script async src="{host}{path}" data-write-key="WRITE_KEY"></script>'
        return answers.document(
            ScriptView(f"{host}{path}", f"{host}{pinned}", script.integrity, tag)
        )

    return respond
