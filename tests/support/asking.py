"""Asks a service's API in process, as somebody with a token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import httpx
from fastapi import FastAPI

from clm_common.runtime.tokens import KeyPair, Verifier, generate_key_pair, jwks, mint
from clm_common.runtime.tokens_keys import keys_of

Json = Any  # Any: what an answer holds


class Client:
    """Asks with a token of its own making."""

    def __init__(
        self, http: httpx.AsyncClient, keys: KeyPair, *, scope: str, workspace: str
    ) -> None:
        self._http = http
        self._keys = keys
        self._scope = scope
        self._workspace = workspace

    def headers(self, scope: str | None = None, workspace: str | None = None) -> dict[str, str]:
        """Give the header with a token."""
        token = mint(
            self._keys.private,
            workspace=workspace or self._workspace,
            subject="test",
            scopes=[scope or self._scope],
            seconds=60,
        )
        return {"authorization": f"Bearer {token}"}

    async def get(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        *,
        scope: str | None = None,
        workspace: str | None = None,
        **headers: str,
    ) -> httpx.Response:
        """Ask; further headers with `_` for `-`."""
        further = {name.replace("_", "-"): value for name, value in headers.items()}
        token = self.headers(scope, workspace)
        return await self._http.get(url, params=params, headers=token | further)

    async def post(
        self,
        url: str,
        body: object,
        *,
        scope: str | None = None,
        workspace: str | None = None,
        **headers: str,
    ) -> httpx.Response:
        """Send a JSON body; further headers with `_` for `-`."""
        further = {name.replace("_", "-"): value for name, value in headers.items()}
        token = self.headers(scope, workspace)
        return await self._http.post(url, json=body, headers=token | further)

    async def patch(self, url: str, body: object) -> httpx.Response:
        """Change something by a JSON body."""
        return await self._http.patch(url, json=body, headers=self.headers())

    async def ask(self, url: str, **params: str) -> Json:
        """Ask what must be answered."""
        answer = await self.get(url, {name.rstrip("_"): value for name, value in params.items()})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refusal(self, url: str, **params: str) -> tuple[int, str, str]:
        """Ask what must be refused: give status, slug and what is said."""
        answer = await self.get(url, {name.rstrip("_"): value for name, value in params.items()})
        assert answer.headers["content-type"] == "application/problem+json"
        found = answer.json()
        return answer.status_code, found["slug"], f"{found.get('detail')} {found.get('errors')}"


def client_of(
    make: Callable[[Verifier], FastAPI], *, scope: str, workspace: str = "local"
) -> Client:
    """Make a client of an app that knows its keys."""
    keys = generate_key_pair()
    app = make(Verifier(keys_of(jwks([keys.public]), None)))
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t.example.com")
    return Client(http, keys, scope=scope, workspace=workspace)
