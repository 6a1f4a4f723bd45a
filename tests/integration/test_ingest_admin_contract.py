"""The admin API answers as its OpenAPI document says, whatever it is sent, and never by a 5xx."""

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase, given
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.core.result import Ok

from tests.support.ingest import IngestProcess, create_ingest_topics, ingest, until

Case = schemathesis.Case[Any]  # Any: whatever an operation takes

EXAMPLES = 20
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def torment(url: str, headers: Mapping[str, str], known: Mapping[str, str]) -> int:
    """Send made-up requests to every operation of the admin API; gives how many there were.

    Args:
        url: where ingest is.
        headers: who asks.
        known: ids that exist, by parameter; every other request is about one of them.
    """
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json").include(path_regex="^/v1/admin/")
    count = itertools.count(1)
    for operation in schema.get_all_operations():
        assert isinstance(operation, Ok), operation

        @hypothesis.seed(4711)
        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow],
        )
        @given(case=operation.ok().as_strategy())
        def attempt(case: Case) -> None:
            if next(count) % 2:
                case.path_parameters.update(
                    {name: it for name, it in known.items() if name in case.path_parameters}
                )
            case.call_and_validate(base_url=url, headers=dict(headers), checks=CHECKS)

        attempt()
    return next(count)


async def seeded(shop: IngestProcess) -> dict[str, str]:
    """Make a source and a letter of the quarantine, and give their ids."""
    write_key = await shop.create_source()
    await shop.http.post("/v1/track", json={"event": "nobody"}, auth=(write_key, ""))
    letters: list[str] = []

    async def indexed() -> bool:
        answer = await shop.http.get("/v1/admin/quarantine", headers=shop.token())
        letters[:] = [letter["id"] for letter in answer.json()["letters"]]
        return bool(letters)

    await until(indexed, seconds=30)
    sources = (await shop.http.get("/v1/admin/sources", headers=shop.token())).json()["sources"]
    return {"source_id": sources[0]["id"], "letter_id": letters[0]}


async def test_whatever_the_admin_api_is_sent_it_answers_as_it_is_documented(
    kafka_bootstrap: str, database_url: str
) -> None:
    await create_ingest_topics(kafka_bootstrap)
    async with ingest(kafka_bootstrap, database_url) as shop:
        await shop.until_ready()
        known = await seeded(shop)

        sent = await asyncio.to_thread(torment, shop.url, shop.token(), known)

        faults = await shop.metric("clm_http_requests_total", 'status="5')
        alive = await shop.http.get("/ready")

    assert sent > 15 * EXAMPLES / 2
    assert faults == 0
    assert alive.status_code == 200
