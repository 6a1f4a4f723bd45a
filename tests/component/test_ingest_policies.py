"""Sources' policies over HTTP: each is violated, and the sender is told so."""

import json
from collections.abc import Mapping, Sequence

import httpx
import msgspec
import pytest
from starlette.types import Receive, Scope, Send

from clm_common import telemetry
from clm_common.bus.memory import MemoryBroker, MemoryProducer
from clm_common.clock import ManualClock
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.touchpoint import MARKS_HEADER
from clm_common.instant import SECOND, from_rfc3339
from clm_ingest.core.credentials import digest_of
from clm_ingest.core.judging import Plan
from clm_ingest.core.plan import TrackingPlan
from clm_ingest.core.policy import Policy
from clm_ingest.core.proxies import Proxies, networks_of
from clm_ingest.core.rules import rules_of
from clm_ingest.gate import Gate
from clm_ingest.handlers import Bounds, Tracking
from clm_ingest.keyring import Keyring
from clm_ingest.routes import ALL
from clm_ingest.shim import Shim
from clm_ingest.store import Keys
from clm_ingest.table import Table

NOW = from_rfc3339("2026-11-22T10:00:00Z")
EVENT = {"type": "track", "event": "Order Completed", "userId": "u-1", "messageId": "m-1"}


class Shop:
    """Ingest in memory with one source, whose policy a test sets."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.clock = ManualClock(NOW)
        self.policy = Policy()
        self.plan: Plan | None = None
        self.keyring = Keyring(self._read, self.clock)
        producer = MemoryProducer(self.broker)
        gate = Gate(Proxies(networks_of("10.0.0.0/8")))
        tracking = Tracking(
            self.keyring, producer, self.clock, Bounds(window_bytes=0), "", gate=gate
        )
        self.app = Shim(tracking, Table(ALL), _nobody)

    async def follow(self, **policy: object) -> None:
        """Set the source's policy."""
        self.policy = Policy.model_validate(policy)
        await self.keyring.refresh()

    async def _read(self) -> Sequence[Keys]:
        rules = rules_of(self.policy)
        if rules is not None and self.plan is not None:
            rules = msgspec.structs.replace(rules, plan=self.plan)
        return [Keys("s-1", "acme", digest_of("wk_shop"), None, None, disabled=False, rules=rules)]

    async def post(
        self,
        body: object,
        path: str = "/v1/track",
        headers: Mapping[str, str] | None = None,
        peer: str = "203.0.113.77",
    ) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(peer, 4711))
        content = json.dumps(body).encode()
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as http:
            sent = {"x-write-key": "wk_shop", **(headers or {})}
            return await http.post(path, content=content, headers=sent)

    def landed(self) -> list[dict[str, object]]:
        return [json.loads(it.value or b"") for it in self.broker.records("clm.touchpoints")]

    def letters(self) -> list[DeadLetter]:
        records = self.broker.records("clm.touchpoints.dlq")
        return [msgspec.json.decode(record.value or b"", type=DeadLetter) for record in records]


async def _nobody(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 418, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def shop() -> Shop:
    shop = Shop()
    await shop.follow()
    return shop


def assert_error(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json().keys() == {"code", "message", "detail"}


async def test_a_browser_of_a_foreign_origin_is_refused_in_words_it_can_read(shop: Shop) -> None:
    await shop.follow(allowed_origins=["https://shop.example.com", "*.example.org"])

    foreign = await shop.post(EVENT, headers={"origin": "https://evil.com"})
    own = await shop.post(EVENT, headers={"origin": "https://shop.example.com"})
    below = await shop.post(EVENT, headers={"origin": "https://www.example.org"})
    server = await shop.post(EVENT)

    assert_error(foreign, 403, "origin.refused")
    assert foreign.headers["access-control-allow-origin"] == "https://evil.com"
    assert [it.status_code for it in (own, below, server)] == [200, 200, 200]
    assert len(shop.landed()) == 3


async def test_beyond_its_rate_a_source_is_told_how_long_to_wait(shop: Shop) -> None:
    await shop.follow(rate={"events_per_second": 2, "burst": 10})
    batch = {"batch": [EVENT] * 8}

    first = await shop.post(batch, "/v1/batch")
    second = await shop.post(batch, "/v1/batch", headers={"origin": "https://shop.example.com"})
    shop.clock.set(NOW + int(second.headers["retry-after"]) * SECOND)
    third = await shop.post(batch, "/v1/batch")

    assert first.status_code == 200
    assert_error(second, 429, "rate.exceeded")
    assert second.headers["retry-after"] == "3"
    assert second.headers["access-control-expose-headers"] == "Retry-After"
    assert third.status_code == 200
    assert len(shop.landed()) == 16


async def test_sizes_of_the_policy_are_below_the_services(shop: Shop) -> None:
    await shop.follow(limits={"event_bytes": 300, "batch_events": 2, "body_bytes": 2_000})
    large = {**EVENT, "properties": {"x": "y" * 300}}

    event = await shop.post(large)
    in_batch = await shop.post({"batch": [EVENT, large]}, "/v1/batch")
    long = await shop.post({"batch": [EVENT] * 3}, "/v1/batch")
    body = await shop.post({"batch": [EVENT], "x": "y" * 2_000}, "/v1/batch")

    assert_error(event, 413, "touchpoint.too_large")
    assert [it["code"] for it in in_batch.json()["rejected"]] == ["touchpoint.too_large"]
    assert_error(long, 413, "batch.too_long")
    assert_error(body, 413, "body.too_large")
    assert len(shop.landed()) == 1


async def test_the_senders_address_is_kept_truncated_or_dropped(shop: Shop) -> None:
    await shop.follow(ip="keep")
    await shop.post(EVENT)
    await shop.post(EVENT, peer="10.0.0.1", headers={"x-forwarded-for": "6.6.6.6, 198.51.100.9"})
    await shop.post(EVENT, headers={"x-forwarded-for": "6.6.6.6"})
    await shop.follow(ip="truncate")
    await shop.post({**EVENT, "context": {"ip": "198.51.100.9"}})
    await shop.follow(ip="drop")
    await shop.post({**EVENT, "context": {"ip": "198.51.100.9", "locale": "en"}})
    await shop.follow()
    await shop.post(EVENT)

    assert [event.get("context") for event in shop.landed()] == [
        {"ip": "203.0.113.77"},
        {"ip": "198.51.100.9"},
        {"ip": "203.0.113.77"},
        {"ip": "198.51.100.0"},
        {"locale": "en"},
        None,
    ]


async def test_who_does_not_wish_to_be_followed_is_not_where_that_is_honoured(shop: Shop) -> None:
    def declined() -> float:
        labels = {"verdict": "declined"}
        return telemetry.REGISTRY.get_sample_value("clm_ingest_events_total", labels) or 0.0

    before = declined()
    gpc, dnt = {"sec-gpc": "1"}, {"dnt": "1"}
    ignored = await shop.post(EVENT, headers=gpc)
    await shop.follow(honour_gpc=True)

    single = await shop.post(EVENT, headers=gpc)
    batch = await shop.post({"batch": [EVENT, {"nothing": 1}]}, "/v1/batch", headers=gpc)
    only_dnt = await shop.post(EVENT, headers=dnt)
    zero = await shop.post(EVENT, headers={"sec-gpc": "0"})
    await shop.follow(honour_dnt=True)
    honoured = await shop.post(EVENT, headers=dnt)

    assert [it.status_code for it in (ignored, single, batch, only_dnt, zero)] == [200] * 5
    assert single.json() == {
        "success": True,
        "rejected": [{"index": 0, "messageId": "m-1", "code": "consent.gpc"}],
    }
    assert [it["code"] for it in batch.json()["rejected"]] == ["consent.gpc", "consent.gpc"]
    assert [it["code"] for it in honoured.json()["rejected"]] == ["consent.dnt"]
    assert len(shop.landed()) == 3
    assert shop.letters() == []
    assert declined() == before + 4


async def test_what_comes_from_the_companys_own_networks_is_marked_and_taken(shop: Shop) -> None:
    await shop.follow(internal_networks=["198.51.100.7/24", "2001:db8::/32", "192.0.2.7"])
    inside = {"x-forwarded-for": "6.6.6.6, 198.51.100.9"}
    crawler = {**EVENT, "context": {"userAgent": "Googlebot/2.1"}}

    await shop.post(EVENT, peer="198.51.100.1")
    await shop.post(EVENT, peer="2001:db8:1::7")
    await shop.post(EVENT, peer="10.0.0.1", headers=inside)
    await shop.post(crawler, peer="192.0.2.7")
    await shop.post({"batch": [EVENT, EVENT]}, "/v1/import", peer="198.51.100.1")
    await shop.post(EVENT, peer="192.0.2.8")
    await shop.post(EVENT, headers=inside)  # whoever is connected is no proxy of ours
    await shop.post(EVENT, peer="10.0.0.1", headers={"x-forwarded-for": "198.51.100.9, 6.6.6.6"})

    records = shop.broker.records("clm.touchpoints")
    assert [dict(it.headers).get(MARKS_HEADER) for it in records] == [
        b"internal",
        b"internal",
        b"internal",
        b"bot,internal",
        b"internal,historical",
        b"internal,historical",
        None,
        None,
        None,
    ]
    assert shop.policy.internal_networks == ("198.51.100.0/24", "2001:db8::/32", "192.0.2.7/32")


async def test_the_companys_own_people_are_marked_in_every_form_and_taken(shop: Shop) -> None:
    await shop.follow(
        internal_email_domains=["example.com"], internal_users=["4711", "test-account"]
    )
    own = {"email": "ada@example.com"}
    crawler = {"userId": "test-account", "context": {"userAgent": "Googlebot/2.1"}}
    batch: dict[str, dict[str, object]] = {
        **{f"other-{n}": {"userId": f"u-{n}"} for n in range(4)},
        "by id": {"userId": 4711},
        "by address": {"context": {"traits": own}},
    }

    def named(events: Mapping[str, Mapping[str, object]]) -> dict[str, object]:
        return {"batch": [{**EVENT, "messageId": name, **more} for name, more in events.items()]}

    await shop.post(named(batch), "/v1/batch")
    await shop.post({"userId": "u", "traits": own, "messageId": "identify"}, "/v1/identify")
    await shop.post(named({"crawler": crawler, "past": {}}), "/v1/import")
    await shop.post({"anonymousId": "test-account", "messageId": "page"}, "/v1/page")
    await shop.post({**EVENT, "messageId": "single"})

    headers = [dict(it.headers) for it in shop.broker.records("clm.touchpoints")]
    assert {it["ce_id"].decode(): it.get(MARKS_HEADER) for it in headers} == {
        **{f"other-{n}": None for n in range(4)},
        "by id": b"internal",
        "by address": b"internal",
        "identify": b"internal",
        "crawler": b"bot,internal,historical",
        "past": b"historical",
        "page": b"internal",
        "single": None,
    }


async def test_an_insider_is_known_before_a_plan_takes_the_address_out(shop: Shop) -> None:
    schema = {"properties": {"tier": {"type": "string"}}}
    plan = {"mode": "drop", "events": [{"type": "identify", "schema": schema}]}
    shop.plan = Plan(TrackingPlan.model_validate(plan))
    await shop.follow(internal_email_domains=["example.com"])

    await shop.post({"userId": "u-1", "traits": {"email": "a@example.com"}}, "/v1/identify")

    (record,) = shop.broker.records("clm.touchpoints")
    assert dict(record.headers)[MARKS_HEADER] == b"internal"
    assert shop.landed()[0]["traits"] == {}
