"""Signatures of webhooks: the published examples, and what holds for every scheme."""

import contextlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clm_common.errors import Rejected
from clm_common.instant import SECOND
from clm_ingest.core.signatures import NAMES, WINDOW, Scheme, check_secret, verify
from tests.support.signing import ID, SECRETS, signed

AT = 1_614_265_330
BODY = b'{"test": 2432232314}'
TIMED: list[Scheme] = ["standard-webhooks", "stripe"]

schemes = st.sampled_from(NAMES)
secrets_of_text = st.text(min_size=1, max_size=60)


def raw(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in headers.items()}


def verdict(
    scheme: Scheme,
    headers: Mapping[str, str],
    body: bytes = BODY,
    *,
    secrets: tuple[str, ...] = (),
    at: int = AT,
    window: int = WINDOW,
) -> str:
    """Say what is wrong, by its slug, or `good`."""
    taken = secrets or (SECRETS[scheme],)
    try:
        verify(scheme, taken, raw(headers), body, now=at * SECOND, window=window)
    except Rejected as refused:
        return refused.slug
    return "good"


def test_the_example_of_standard_webhooks_is_good() -> None:
    headers = {
        "webhook-id": ID,
        "webhook-timestamp": str(AT),
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }

    assert verdict("standard-webhooks", headers) == "good"


def test_the_example_of_github_is_good() -> None:
    digest = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

    assert (
        verdict("github", {"x-hub-signature-256": f"sha256={digest}"}, b"Hello, World!") == "good"
    )


def test_the_form_of_stripes_example_is_read_and_its_v0_is_passed_over() -> None:
    (good,) = signed("stripe", SECRETS["stripe"], BODY, at=AT).values()
    other = "5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd"
    digest = good.partition("v1=")[2]

    assert verdict("stripe", {"stripe-signature": f"t={AT},v1={other},v0={other}"}) == (
        "signature.wrong"
    )
    assert verdict("stripe", {"stripe-signature": f"t={AT},v1={other},v1={digest}"}) == "good"
    assert verdict("stripe", {"stripe-signature": f"t={AT},v0={digest}"}) == "signature.malformed"


def test_one_good_signature_among_several_is_enough() -> None:
    headers = signed("standard-webhooks", SECRETS["standard-webhooks"], BODY, at=AT)
    several = f"v1a,AAAA v1,AAAA {headers['webhook-signature']}"

    assert verdict("standard-webhooks", headers | {"webhook-signature": several}) == "good"


@given(scheme=schemes, body=st.binary(max_size=200), late=st.integers(-WINDOW, WINDOW))
def test_what_a_sender_signed_is_good_within_the_window(
    scheme: Scheme, body: bytes, late: int
) -> None:
    headers = signed(scheme, SECRETS[scheme], body, at=AT)

    assert verdict(scheme, headers, body, at=AT + late) == "good"


@given(
    scheme=schemes,
    body=st.binary(min_size=1, max_size=200),
    at=st.integers(0, 1_599),
    data=st.data(),
)
def test_a_changed_bit_of_the_body_or_of_the_secret_is_noticed(
    scheme: Scheme, body: bytes, at: int, data: st.DataObject
) -> None:
    headers = signed(scheme, SECRETS[scheme], body, at=AT)
    changed = bytearray(body)
    changed[at // 8 % len(body)] ^= 1 << at % 8
    other = data.draw(st.sampled_from(["whsec_AAAA", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx"]))

    assert verdict(scheme, headers, bytes(changed)) == "signature.wrong"
    assert verdict(scheme, headers, body, secrets=(other,)) == "signature.wrong"
    assert verdict(scheme, headers, body, secrets=(other, SECRETS[scheme])) == "good"


@pytest.mark.parametrize("scheme", TIMED)
def test_a_signature_out_of_the_window_is_refused_and_the_time_is_signed_too(
    scheme: Scheme,
) -> None:
    headers = signed(scheme, SECRETS[scheme], BODY, at=AT)
    moved = {name: value.replace(str(AT), str(AT + 900)) for name, value in headers.items()}

    assert verdict(scheme, headers, at=AT + WINDOW) == "good"
    assert verdict(scheme, headers, at=AT + WINDOW + 1) == "signature.too_old"
    assert verdict(scheme, headers, at=AT - WINDOW - 1) == "signature.too_new"
    assert verdict(scheme, headers, at=AT + 500, window=500) == "good"
    assert verdict(scheme, moved, at=AT + 900) == "signature.wrong"


@pytest.mark.parametrize("scheme", NAMES)
def test_what_is_missing_or_cannot_be_read_is_said(scheme: Scheme) -> None:
    headers = signed(scheme, SECRETS[scheme], BODY, at=AT)

    for name in headers:
        assert verdict(scheme, {**headers, name: " "}) == "signature.missing"
    last = list(headers)[-1]
    assert verdict(scheme, {**headers, last: "rubbish"}) == "signature.malformed"
    assert verdict(scheme, {}) == "signature.missing"


@pytest.mark.parametrize("stamp", ["-1", "soon", "1e9", "9" * 13])
def test_a_time_that_is_no_time_is_said(stamp: str) -> None:
    headers = signed("standard-webhooks", SECRETS["standard-webhooks"], BODY, at=AT)

    assert verdict("standard-webhooks", headers | {"webhook-timestamp": stamp}) == (
        "signature.malformed"
    )


@given(scheme=schemes, values=st.lists(st.binary(max_size=120), min_size=4, max_size=4))
def test_whatever_stands_in_the_headers_is_refused_and_nothing_breaks(
    scheme: Scheme, values: list[bytes]
) -> None:
    names = [name.encode() for name in signed(scheme, SECRETS[scheme], BODY, at=AT)]
    headers = dict(zip(names, values, strict=False))

    with pytest.raises(Rejected):
        verify(scheme, [SECRETS[scheme]], headers, BODY, now=AT * SECOND)


@given(scheme=schemes, secret=secrets_of_text)
def test_a_secret_that_passes_the_check_can_sign(scheme: Scheme, secret: str) -> None:
    with contextlib.suppress(Rejected):
        check_secret(scheme, secret)
        headers = signed(scheme, secret, BODY, at=AT)
        assert verdict(scheme, headers, secrets=(secret,)) == "good"


@pytest.mark.parametrize("scheme", NAMES)
def test_a_refusal_is_a_401_that_does_not_tell_the_secret(scheme: Scheme) -> None:
    headers = signed(scheme, SECRETS[scheme], BODY, at=AT)

    with pytest.raises(Rejected) as refused:
        verify(scheme, [SECRETS[scheme]], raw(headers), b"{}", now=AT * SECOND)

    assert refused.value.status == 401
    assert SECRETS[scheme] not in f"{refused.value} {refused.value.values}"


@pytest.mark.parametrize("scheme", NAMES)
def test_an_empty_secret_is_none(scheme: Scheme) -> None:
    check_secret(scheme, SECRETS[scheme])
    with pytest.raises(Rejected):
        check_secret(scheme, "")
    with pytest.raises(Rejected):
        check_secret("standard-webhooks", "whsec_no base64")
