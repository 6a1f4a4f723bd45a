"""The HTTP face that services share: problems that help, safe headers, no internals."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI, Query
from pydantic import BaseModel
from structlog.testing import capture_logs

from clm_common.errors import Rejected, Unavailable
from clm_common.runtime.front import Front
from clm_common.runtime.http import new_app
from clm_common.runtime.probes import Probes
from clm_common.runtime.tokens import Principal, Verifier, generate_key_pair, jwks, mint, require
from clm_common.runtime.tokens_keys import keys_of

PAIR = generate_key_pair()
Reader = Annotated[Principal, Depends(require("profiles:read"))]


class Source(BaseModel):
    """A body."""

    name: str
    limits: dict[str, int] = {}


def make_app() -> FastAPI:
    app = new_app("shop", title="Shop", description="A shop.", version="1")
    app.state.verifier = Verifier(keys_of(jwks([PAIR.public]), None))

    async def who(asker: Reader) -> str:
        return asker.workspace

    async def create(source: Source, size: Annotated[int, Query(le=9)] = 1) -> str:
        return source.name * size

    async def unknown() -> None:
        raise Rejected(404, "profile.unknown", "There is no profile 7.", profile="7")

    async def away() -> None:
        raise Unavailable("database.away", "PostgreSQL at 10.0.0.7 is away")

    async def defect() -> None:
        raise LookupError("a secret of ours")

    app.get("/who")(who)
    app.post("/sources/{name}")(create)
    app.get("/unknown")(unknown)
    app.get("/away")(away)
    app.get("/defect")(defect)
    return app


@pytest.fixture
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    front = Front(Probes("shop"))
    front.app = make_app()
    transport = httpx.ASGITransport(front)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        yield client


def problem(answer: httpx.Response) -> dict[str, Any]:  # Any: JSON
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["status"] == answer.status_code
    return found


def bearer(*scopes: str) -> dict[str, str]:
    token = mint(PAIR.private, workspace="acme", subject="jane", scopes=scopes, seconds=60)
    return {"authorization": f"Bearer {token}"}


async def test_a_refusal_says_what_and_with_which_values(client: httpx.AsyncClient) -> None:
    answer = await client.get("/unknown")

    found = problem(answer)
    assert (found["status"], found["slug"]) == (404, "profile.unknown")
    assert (found["detail"], found["values"]) == ("There is no profile 7.", {"profile": "7"})


async def test_a_server_that_is_away_asks_for_patience_and_names_no_address(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/away")

    assert problem(answer)["slug"] == "database.away"
    assert int(answer.headers["retry-after"]) >= 1
    assert "10.0.0.7" not in answer.text


async def test_a_wrong_body_is_told_by_pointer(client: httpx.AsyncClient) -> None:
    answer = await client.post("/sources/x", json={"limits": {"a/b": "many"}})

    found = problem(answer)
    assert answer.status_code == 422
    assert [error["pointer"] for error in found["errors"]] == ["#/name", "#/limits/a~1b"]


@pytest.mark.parametrize("label", [None, "application/x-www-form-urlencoded", "text/plain"])
async def test_a_body_that_nothing_calls_json_is_told_how_to_be_called(
    client: httpx.AsyncClient, label: str | None
) -> None:
    headers = {} if label is None else {"content-type": label}

    answer = await client.post("/sources/x", content=b'{"name": "a"}', headers=headers)

    found = problem(answer)
    assert (answer.status_code, found["slug"]) == (415, "request.media_type")
    assert "Content-Type: application/json" in found["detail"]


async def test_a_wrong_parameter_is_told_by_name(client: httpx.AsyncClient) -> None:
    answer = await client.post("/sources/x?size=12", json={"name": "a"})

    (error,) = problem(answer)["errors"]
    assert error["parameter"] == "size"
    assert "less than or equal to 9" in error["detail"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/x", 404), ("PUT", "/who", 405)])
async def test_an_address_that_is_not_there_is_a_problem_too(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    answer = await client.request(method, path)

    assert answer.status_code == status
    assert path in problem(answer)["detail"]


async def test_a_defect_shows_nothing_but_an_id_that_stands_in_the_log(
    client: httpx.AsyncClient,
) -> None:
    with capture_logs() as logs:
        answer = await client.get("/defect")

    found = problem(answer)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert found["instance"] in {line.get("instance") for line in logs}


@pytest.mark.parametrize("path", ["/who", "/unknown", "/defect", "/openapi.json", "/nowhere"])
async def test_every_answer_carries_safe_headers(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


async def test_the_manual_is_shown_without_asking_any_other_host(client: httpx.AsyncClient) -> None:
    page = await client.get("/docs")

    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert links
    assert all(link.startswith("/") for link in links)
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for link in links:
        assert (await client.get(link)).status_code == 200


async def test_without_a_token_a_caller_is_told_how_to_show_one(client: httpx.AsyncClient) -> None:
    answer = await client.get("/who")

    assert (answer.status_code, problem(answer)["slug"]) == (401, "token.missing")
    assert answer.headers["www-authenticate"] == 'Bearer realm="clm"'


async def test_a_bad_token_is_called_so(client: httpx.AsyncClient) -> None:
    answer = await client.get("/who", headers={"authorization": "Bearer x.y.z"})

    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_a_token_that_allows_too_little_is_told_which_scope_it_lacks(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/who", headers=bearer("metrics:read"))

    assert (answer.status_code, problem(answer)["slug"]) == (403, "token.scope")
    assert 'scope="profiles:read"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize("scope", ["profiles:read", "admin"])
async def test_a_token_that_allows_it_opens_its_own_workspace(
    client: httpx.AsyncClient, scope: str
) -> None:
    answer = await client.get("/who", headers=bearer(scope))

    assert (answer.status_code, answer.json()) == (200, "acme")


async def test_the_document_describes_problems(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()

    reference = document["paths"]["/who"]["get"]["responses"]["default"]["content"]
    assert reference["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
    assert set(document["components"]["schemas"]) >= {"Problem", "Fault", "Source"}


async def test_requests_are_counted_by_route_not_by_address(client: httpx.AsyncClient) -> None:
    for name in ("a", "b"):
        await client.post(f"/sources/{name}", json={"name": name})

    metrics = (await client.get("/metrics")).text

    assert 'route="/sources/{name}",status="200"} ' in metrics
    assert "/sources/a" not in metrics


async def test_before_the_service_is_there_callers_are_asked_to_wait() -> None:
    transport = httpx.ASGITransport(Front(Probes("shop")))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        health, early = await client.get("/health"), await client.get("/who")
        page = await client.post("/v1/track", headers={"origin": "https://shop.example.com"})

    assert health.status_code == 200
    assert (early.status_code, early.headers["retry-after"]) == (503, "1")
    assert page.json()["code"] == "service.starting"
    assert page.headers["access-control-allow-origin"] == "https://shop.example.com"
    assert page.headers["access-control-expose-headers"] == "Retry-After"
