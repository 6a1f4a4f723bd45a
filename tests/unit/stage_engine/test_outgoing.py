"""Webhooks, decided: filters, signatures that the reference verifies, the schedule of retries."""

from __future__ import annotations

import base64
import itertools
import time
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from clm_common.contracts.stage_change import PUBLIC_TYPE, StageChange
from clm_stage_engine.core import river
from clm_stage_engine.core.outgoing import (
    GONE,
    JITTER,
    LONGEST_WAIT,
    SCHEDULE,
    Answer,
    Filter,
    judge,
    message_of,
    signed,
    write_secret,
)

SECRETS = st.binary(min_size=24, max_size=64).map(write_secret)
FAILED = Answer(500, "http_500")


def change(
    source: str | None = "reach",
    target: str = "conversion",
    *,
    lifecycle: str = "reach",
    retracted: bool = False,
    historical: bool = False,
) -> StageChange:
    return StageChange(
        id=UUID(int=7),
        workspace="shop",
        profile_id=UUID(int=8),
        version=4,
        lifecycle=lifecycle,
        definition="d",
        target=target,
        move="m",
        at="2026-11-22T10:00:00.000000Z",
        source=source,
        user_id="ada",
        retracted=retracted,
        historical=historical,
    )


STAGES = st.sampled_from(["reach", "acquisition", "conversion"])
CHANGES = st.builds(
    change,
    st.none() | STAGES,
    STAGES,
    lifecycle=st.sampled_from(["reach", "saas"]),
    retracted=st.booleans(),
    historical=st.booleans(),
)
FILTERS = st.builds(
    Filter,
    st.sampled_from([None, "reach", "saas"]),
    st.lists(STAGES, max_size=2).map(tuple),
    st.lists(STAGES, max_size=2).map(tuple),
    st.booleans(),
    st.booleans(),
)


@given(FILTERS, CHANGES)
def test_a_filter_takes_what_every_part_of_it_takes(filter_: Filter, it: StageChange) -> None:
    alone = [
        Filter(lifecycle=filter_.lifecycle, historical=True),
        Filter(sources=filter_.sources, historical=True),
        Filter(targets=filter_.targets, historical=True),
        Filter(retracted=filter_.retracted, historical=True),
        Filter(historical=filter_.historical),
    ]

    assert filter_.takes(it) == all(each.takes(it) for each in alone)


def test_by_default_everything_is_taken_but_what_follows_from_imports() -> None:
    assert Filter().takes(change(retracted=True))
    assert not Filter().takes(change(historical=True))
    assert Filter(historical=True).takes(change(historical=True))


@pytest.mark.parametrize(
    ("filter_", "takes"),
    [
        (Filter(lifecycle="saas"), False),
        (Filter(sources=("reach",)), True),
        (Filter(sources=("loyalty",)), False),
        (Filter(targets=("conversion", "loyalty")), True),
        (Filter(targets=("loyalty",)), False),
    ],
)
def test_a_filter_names_lifecycle_and_stages(filter_: Filter, takes: bool) -> None:  # noqa: FBT001 - a case
    assert filter_.takes(change()) is takes


def test_who_appears_first_leaves_no_stage() -> None:
    assert not Filter(sources=("reach",)).takes(change(source=None))


@given(st.binary(max_size=300), st.lists(SECRETS, min_size=1, max_size=2, unique=True))
def test_the_reference_verifies_with_each_secret_and_with_no_other(
    body: bytes, secrets: list[str]
) -> None:
    body = base64.b64encode(body)
    headers = signed("id:1", int(time.time()), body, secrets)

    for each in secrets:
        Webhook(each).verify(msgspec.json.encode(body.decode()), signed_json(headers, body, each))
    with pytest.raises(WebhookVerificationError):
        Webhook(write_secret(b"another secret of 24 bytes!!")).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secrets[0]).verify(body + b" ", headers)


def signed_json(headers: dict[str, str], body: bytes, secret: str) -> dict[str, str]:
    """Sign the body as JSON, which the reference reads after it has verified it."""
    text = msgspec.json.encode(body.decode())
    return signed(headers["webhook-id"], int(headers["webhook-timestamp"]), text, [secret])


def test_the_body_is_the_public_event_in_structured_mode() -> None:
    it = change()
    _, (public,) = river.columns([it])
    attributes = {k[3:]: v.decode() for k, v in public.all_headers() if k.startswith("ce_")}

    name, body = message_of(it)

    event = msgspec.json.decode(body)
    assert name == event["id"] == f"{it.id}:4"
    assert event.pop("data") == msgspec.json.decode(public.value)
    assert event.pop("datacontenttype") == "application/json"
    assert event == attributes
    assert event["type"] == PUBLIC_TYPE


def test_retries_go_on_for_about_three_days() -> None:
    waits = [judge(FAILED, attempt, 0.0).wait for attempt in range(1, len(SCHEDULE) + 1)]

    assert waits == sorted(waits)
    assert 3 * 86_400 <= sum(waits) < 3.5 * 86_400
    assert judge(FAILED, len(SCHEDULE) + 1, 0.0).state == "dead"


@given(st.integers(1, len(SCHEDULE)), st.floats(0, 1, exclude_max=True))
def test_a_wait_is_never_shorter_than_the_schedule_and_hardly_longer(
    attempt: int, chance: float
) -> None:
    verdict = judge(FAILED, attempt, chance)

    planned = SCHEDULE[attempt - 1]
    assert verdict.state == "waiting"
    assert planned <= verdict.wait <= planned * (1 + JITTER)


@given(st.integers(1, len(SCHEDULE)), st.floats(0, 1e9))
def test_an_endpoint_that_asks_to_wait_longer_is_heard_up_to_a_day(
    attempt: int, asked: float
) -> None:
    verdict = judge(Answer(503, "http_503", asked), attempt, 0.0)

    assert verdict.wait == max(SCHEDULE[attempt - 1], min(asked, LONGEST_WAIT))


def test_gone_is_dead_at_once_and_success_is_success_at_any_try() -> None:
    assert judge(Answer(GONE, "http_410"), 1, 0.0).state == "dead"
    for attempt in itertools.chain(range(1, 12)):
        assert judge(Answer(204), attempt, 0.0).state == "delivered"
