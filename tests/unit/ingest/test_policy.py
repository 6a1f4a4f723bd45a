"""Policies: origins, rates, addresses, and what is changed in an event."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from clm_common.errors import Rejected
from clm_common.instant import SECOND
from clm_ingest.core.admission import Subject
from clm_ingest.core.amending import Amendment, truncated
from clm_ingest.core.bucket import LONGEST_WAIT, Bucket, take
from clm_ingest.core.inspecting import inspect
from clm_ingest.core.parcel import Limits
from clm_ingest.core.policy import IpHandling, Policy, RateLimit, SizeLimits
from clm_ingest.core.proxies import Proxies, networks_of
from clm_ingest.core.rules import Rules, rules_of


def amended_by(amendment: Amendment, raw: bytes) -> bytes:
    found = inspect(raw, Subject("track", "Order Completed", "m"), amendment, None).verdict
    assert isinstance(found, bytes)
    return found


def rules(**policy: object) -> Rules:
    found = rules_of(Policy.model_validate(policy))
    assert found is not None
    return found


def test_a_policy_of_defaults_asks_for_nothing() -> None:
    assert rules_of(Policy()) is None
    assert rules_of(Policy.model_validate({"ip": "as_sent", "limits": {}})) is None


@pytest.mark.parametrize(
    ("allowed", "origin", "admitted"),
    [
        ("https://shop.example.com", "https://shop.example.com", True),
        ("https://shop.example.com/", "https://SHOP.example.com", True),
        ("https://shop.example.com", "https://shop.example.com:443", True),
        ("https://shop.example.com:8443", "https://shop.example.com:8443", True),
        ("https://shop.example.com", "https://shop.example.com:8443", False),
        ("https://shop.example.com", "http://shop.example.com", False),
        ("https://shop.example.com", "https://evil.com", False),
        ("https://shop.example.com", "https://shop.example.com.evil.com", False),
        ("shop.example.com", "http://shop.example.com", True),
        ("localhost", "http://localhost:5173", True),
        ("shop.example.com", "https://a.shop.example.com", False),
        ("*.example.com", "https://shop.example.com", True),
        ("*.example.com", "http://a.b.example.com:8080", True),
        ("*.example.com", "https://example.com", False),
        ("*.example.com", "https://notexample.com", False),
        ("*.example.com", "https://example.com.evil.com", False),
        ("https://*.example.com", "https://shop.example.com", True),
        ("https://*.example.com", "http://shop.example.com", False),
        ("https://*.example.com", "https://shop.example.com:8443", False),
        ("https://*.example.com:8443", "https://shop.example.com:8443", True),
        ("http://[::1]:3000", "http://[::1]:3000", True),
        ("*.example.com", "null", False),
        ("localhost", "null", False),
        ("null.example", "null", False),
    ],
)
def test_an_origin_is_admitted_if_it_is_allowed(
    allowed: str, origin: str, *, admitted: bool
) -> None:
    found = rules(allowed_origins=[allowed])

    assert found.origins is not None
    assert found.origins.admit(origin) is admitted


@given(st.text())
def test_no_origin_whatever_it_is_breaks_the_check(origin: str) -> None:
    found = rules(allowed_origins=["https://shop.example.com", "*.example.org"]).origins

    assert found is not None
    assert found.admit(origin) in {True, False}


def test_a_request_without_an_origin_passes_and_a_foreign_one_is_named() -> None:
    found = rules(allowed_origins=["shop.example.com"])

    found.check_origin(b"")
    with pytest.raises(Rejected, match=r"nothing from https://evil\.com") as refusal:
        found.check_origin(b"https://evil.com")

    assert (refusal.value.status, refusal.value.slug) == (403, "origin.refused")


@pytest.mark.parametrize(
    "wrong",
    [
        {"allowed_origins": ["https://shop.example.com/path"]},
        {"allowed_origins": ["*"]},
        {"allowed_origins": ["*.*.example.com"]},
        {"allowed_origins": ["shop.*.com"]},
        {"allowed_origins": ["ftp://shop.example.com"]},
        {"allowed_origins": ["bücher.example"]},
        {"allowed_origins": ["http://[:::1]"]},
        {"allowed_origins": [""]},
        {"rate": {"events_per_second": 0, "burst": 1}},
        {"rate": {"events_per_second": float("nan"), "burst": 1}},
        {"rate": {"events_per_second": 5}},
        {"limits": {"event_bytes": 0}},
        {"limits": {"events": 5}},
        {"ip": "hide"},
        {"unknown": 1},
        {"internal_networks": ["office"]},
        {"internal_networks": ["10.0.0.0/33"]},
        {"internal_networks": ["10.0.0.0/8,192.0.2.7"]},
        {"internal_networks": ["10.0.0.0/8"] * 201},
        {"internal_email_domains": ["ada@example.com"]},
        {"internal_email_domains": ["example"]},
        {"internal_email_domains": ["*"]},
        {"internal_email_domains": ["bücher.example"]},
        {"internal_users": [""]},
        {"internal_users": ["u" * 257]},
    ],
)
def test_a_policy_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Policy.model_validate(wrong)


def test_limits_are_the_lower_ones() -> None:
    own = Limits(event_bytes=10_000, events=100)

    lower = rules(limits={"event_bytes": 500, "batch_events": 7}).limits(own)
    beyond = rules(limits={"event_bytes": 50_000, "batch_events": 700}).limits(own)

    assert lower == Limits(event_bytes=500, events=7)
    assert beyond == own


RATE = RateLimit(events_per_second=10, burst=20)


def test_a_burst_is_taken_and_then_the_steady_rate() -> None:
    first = take(None, RATE, 20, 0)
    second = take(first.bucket, RATE, 5, 0)
    third = take(second.bucket, RATE, 5, SECOND // 2)

    assert (first.wait, second.wait, third.wait) == (None, 1, None)


def test_a_batch_above_the_burst_is_taken_from_a_full_bucket_and_paid_for_afterwards() -> None:
    first = take(None, RATE, 120, 0)
    second = take(first.bucket, RATE, 1, 0)
    third = take(second.bucket, RATE, 1, 11 * SECOND)

    assert (first.wait, second.wait, third.wait) == (None, 11, None)


def test_nobody_is_asked_to_wait_longer_than_sdks_do() -> None:
    slow = RateLimit(events_per_second=0.001, burst=1)

    assert take(Bucket(0.0, 0), slow, 1, 0).wait == LONGEST_WAIT


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 3 * SECOND)), max_size=60),
    st.floats(0.5, 100),
    st.integers(1, 50),
)
def test_never_more_is_taken_than_the_burst_a_batch_and_what_the_rate_gives(
    requests: list[tuple[int, int]], per_second: float, burst: int
) -> None:
    rate = RateLimit(events_per_second=per_second, burst=burst)
    bucket, now, taken, largest = None, 0, 0, 0

    for events, later in requests:
        now += later
        found = take(bucket, rate, events, now)
        bucket = found.bucket
        if found.wait is None:
            taken += events
            largest = max(largest, events)
        else:
            assert 1 <= found.wait <= LONGEST_WAIT

    assert taken <= burst + largest + per_second * now / SECOND + 1e-6


@given(st.integers(1, 60), st.floats(0.5, 100), st.integers(1, 50))
def test_who_waits_as_told_is_let_in(events: int, per_second: float, burst: int) -> None:
    rate = RateLimit(events_per_second=per_second, burst=burst)
    empty = take(Bucket(0.0, 0), rate, events, 0)
    assert empty.wait is not None

    again = take(empty.bucket, rate, events, empty.wait * SECOND)

    assert again.wait is None


@pytest.mark.parametrize(
    ("address", "kept"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("2001:db8:aaaa:bbbb:cccc::1", "2001:db8:aaaa::"),
        ("fe80::1%eth0", "fe80::"),
        ("no address", None),
        (None, None),
    ],
)
def test_an_address_loses_its_last_octet_or_80_bits(address: str | None, kept: str | None) -> None:
    assert truncated(address) == kept


@pytest.mark.parametrize(
    ("ip", "context", "after"),
    [
        ("keep", None, {"ip": "203.0.113.77"}),
        ("keep", {"a": 1}, {"a": 1, "ip": "203.0.113.77"}),
        ("keep", {"ip": None}, {"ip": "203.0.113.77"}),
        ("keep", {"ip": "198.51.100.9"}, {"ip": "198.51.100.9"}),
        ("truncate", None, {"ip": "203.0.113.0"}),
        ("truncate", {"ip": "198.51.100.9"}, {"ip": "198.51.100.0"}),
        ("truncate", {"ip": "their secret"}, {}),
        ("truncate", {"ip": 7}, {}),
        ("drop", {"ip": "198.51.100.9", "b": 2}, {"b": 2}),
        ("drop", {"b": 2}, {"b": 2}),
        ("drop", "text", "text"),
        ("keep", "text", "text"),
    ],
)
def test_an_events_address_is_handled_as_the_policy_says(
    ip: IpHandling, context: object, after: object
) -> None:
    event = {"messageId": "m", "properties": {"price": 1.50}}
    raw = json.dumps(event if context is None else {**event, "context": context}).encode()

    amended = amended_by(Amendment(ip, "203.0.113.77"), raw)

    assert json.loads(amended) == {**event, "context": after}


def test_an_event_that_needs_no_change_keeps_its_bytes() -> None:
    raw = b'{"context" : {"ip":"198.51.100.9"}, "price": 1.50}'

    assert amended_by(Amendment("keep", "203.0.113.77"), raw) is raw
    assert b'"price":1.50' in amended_by(Amendment("drop"), raw)


PROXIES = Proxies(networks_of("10.0.0.0/8, 127.0.0.1, fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "forwarded", "sender"),
    [
        ("203.0.113.7", b"", b"", "203.0.113.7"),
        ("203.0.113.7", b"1.1.1.1", b"for=1.1.1.1", "203.0.113.7"),
        ("127.0.0.1", b"", b"", "127.0.0.1"),
        ("127.0.0.1", b"203.0.113.7", b"", "203.0.113.7"),
        ("127.0.0.1", b"6.6.6.6, 203.0.113.7, 10.1.2.3", b"", "203.0.113.7"),
        ("127.0.0.1", b"203.0.113.7:5123", b"", "203.0.113.7"),
        ("127.0.0.1", b"::ffff:203.0.113.7", b"", "203.0.113.7"),
        ("fd00::1", b"", b'for="[2001:db8::7]:4711";proto=https', "2001:db8::7"),
        ("127.0.0.1", b"", b"for=6.6.6.6, For=203.0.113.7;by=10.0.0.1", "203.0.113.7"),
        ("127.0.0.1", b"unknown", b"", None),
        ("127.0.0.1", b"", b"for=_hidden", None),
        ("", b"203.0.113.7", b"", None),
    ],
)
def test_only_proxies_of_ours_are_believed_about_the_sender(
    peer: str, forwarded_for: bytes, forwarded: bytes, sender: str | None
) -> None:
    assert PROXIES.sender(peer, forwarded_for, forwarded) == sender


@given(st.binary(), st.binary())
def test_no_header_breaks_the_search_for_the_sender(one: bytes, two: bytes) -> None:
    PROXIES.sender("127.0.0.1", one, two)


def test_sizes_of_a_policy_may_be_left_out() -> None:
    assert Policy().limits == SizeLimits(event_bytes=None, batch_events=None, body_bytes=None)
