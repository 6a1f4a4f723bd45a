"""Facts as they are published sealed: under the key of whom they are about, or left out."""

from __future__ import annotations

from uuid import UUID, uuid4

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from clm_common.contracts import journey
from clm_common.contracts.envelope import read
from clm_common.contracts.journey import JourneyMessage, ProfileErased, TouchpointApplied
from clm_common.contracts.sealing import TYPE, Seal
from clm_common.contracts.topics import JOURNEY
from clm_stage_engine.core import river
from clm_stage_engine.core.sealed import Grant, heads_of, sealed

PEOPLE = [uuid4() for _ in range(4)]
SEALS = {it: Seal(uuid4(), it.bytes * 2) for it in PEOPLE}
AT = "2026-11-26T10:00:00Z"


def touched(profile: UUID, version: int) -> JourneyMessage:
    body = Raw(b'{"event":"Order Completed"}')
    return TouchpointApplied("acme", profile, version, AT, "shop", f"order-{version}", body)


def erased(profile: UUID, version: int) -> JourneyMessage:
    return ProfileErased("acme", profile, version, uuid4(), 1, 1, AT)


facts = st.lists(
    st.builds(touched, st.sampled_from(PEOPLE), st.integers(1, 9))
    | st.builds(erased, st.sampled_from(PEOPLE), st.integers(1, 9)),
    min_size=1,
    max_size=20,
)
granted = st.dictionaries(st.sampled_from(PEOPLE), st.integers(1, 9))


@given(facts, granted)
def test_each_fact_is_sealed_left_out_or_an_erasure_and_order_is_kept(
    given_: list[JourneyMessage], since: dict[UUID, int]
) -> None:
    plain = next(river.columns(given_))
    grants = {it: Grant(SEALS[it], version) for it, version in since.items()}

    found = sealed(JOURNEY.name, plain, heads_of(plain), grants)

    wanted = [
        it
        for it in given_
        if isinstance(it, ProfileErased) or it.version >= since.get(it.profile_id, 10)
    ]
    opened = [
        it.value
        if read(it.all_headers()).type != TYPE
        else SEALS[UUID(it.key.decode())].open(it.value, JOURNEY.name, it.key)
        for it in found
    ]
    assert [journey.decode(it) for it in opened] == wanted
    for message, fact in zip(found, wanted, strict=True):
        told = read(message.all_headers())
        assert told.source == "/workspaces/acme/stage-engine"
        assert told.subject == str(fact.profile_id)
        if not isinstance(fact, ProfileErased):
            assert b"order" not in message.value + told.id.encode()
            assert told.time is None
