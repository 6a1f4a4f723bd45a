from __future__ import annotations

from uuid import UUID, uuid4

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from clm_common.instant import HOUR
from clm_engagement.core.contact import Contact, address_hash
from clm_engagement.core.permit import (
    EXPIRED,
    NO_ADDRESS,
    RECHECK,
    REPEATED,
    RETRIES_EXHAUSTED,
    SUPPRESSED,
    Candidate,
    Fail,
    Hold,
    Memory,
    Send,
    Skip,
    Verdict,
    permit,
)
from tests.support.engagement import NOW, WINDOW, WORKSPACE, email_of

KEY = (WORKSPACE, "welcome", "welcome")
ANN = Candidate(
    id=uuid4(),
    workspace=WORKSPACE,
    journey="welcome",
    step="welcome",
    channel="email",
    person=uuid4(),
    entered_at=NOW - HOUR,
    attempts=0,
    retracted=False,
    contact=Contact(email="ann@example.com"),
)
HASH = address_hash(WORKSPACE, "ann@example.com")


def candidate(**changes: object) -> Candidate:
    return msgspec.structs.replace(ANN, **{"id": uuid4(), "person": uuid4(), **changes})


def asked(*candidates: Candidate, memory: Memory | None = None, room: int = 100) -> list[Verdict]:
    return permit(candidates, memory or Memory(), email_of, room=room, now=NOW, window=WINDOW)


def test_a_message_with_an_address_and_nothing_against_it_is_sent() -> None:
    assert asked(ANN) == [Send(ANN, "ann@example.com", HASH)]


def test_whoever_unsubscribed_after_it_was_planned_gets_nothing() -> None:
    memory = Memory(suppressed=frozenset({(WORKSPACE, HASH)}))

    assert asked(ANN, memory=memory) == [Skip(ANN.id, SUPPRESSED)]


def test_whoever_unsubscribed_with_another_of_their_addresses_gets_nothing() -> None:
    it = candidate(others=("ann@example.com", "ann@old.example"))
    memory = Memory(suppressed=frozenset({(WORKSPACE, address_hash(WORKSPACE, "ann@old.example"))}))

    assert asked(it, memory=memory) == [Skip(it.id, SUPPRESSED)]


def test_a_retracted_stage_is_no_reason_to_write() -> None:
    it = candidate(retracted=True)

    assert asked(it) == [Skip(it.id, "retracted")]


def test_without_an_address_it_waits_and_is_looked_at_again() -> None:
    it = candidate(contact=Contact())

    assert asked(it) == [Hold(it.id, NO_ADDRESS, NOW + RECHECK + 1)]


def test_waiting_for_an_address_ends_with_the_live_window() -> None:
    last = candidate(contact=Contact(), entered_at=NOW - WINDOW)
    over = candidate(contact=Contact(), entered_at=NOW - WINDOW - 1)

    assert asked(last) == [Hold(last.id, NO_ADDRESS, NOW + 1)]
    assert asked(over) == [Skip(over.id, NO_ADDRESS)]


def test_a_message_nobody_could_send_in_time_is_not_sent_late() -> None:
    it = candidate(entered_at=NOW - WINDOW - 1)

    assert asked(it) == [Skip(it.id, EXPIRED)]


def test_a_message_put_off_until_its_time_was_over_has_failed() -> None:
    it = candidate(entered_at=NOW - WINDOW - 1, attempts=3)

    assert asked(it) == [Fail(it.id, RETRIES_EXHAUSTED)]


def test_a_person_reached_as_somebody_else_is_not_reached_again() -> None:
    memory = Memory(persons=frozenset({(KEY, ANN.person)}))

    assert asked(ANN, memory=memory) == [Skip(ANN.id, REPEATED)]


def test_an_address_gets_a_message_once_whoever_has_it() -> None:
    memory = Memory(addresses=frozenset({(KEY, HASH)}))

    it = candidate()

    assert asked(it, memory=memory) == [Skip(it.id, REPEATED)]


def test_of_two_with_one_address_the_first_is_sent() -> None:
    first, second = candidate(), candidate(contact=Contact(email="ANN@example.com"))

    assert asked(first, second) == [
        Send(first, "ann@example.com", HASH),
        Skip(second.id, REPEATED),
    ]


def test_what_there_is_no_room_for_is_not_decided() -> None:
    first, second, third = (candidate(contact=Contact(email=f"{n}@example.com")) for n in "abc")

    verdicts = asked(first, second, third, room=1)

    assert [type(it) for it in verdicts] == [Send]


_people = st.integers(0, 3).map(lambda n: UUID(int=n))
_candidates = st.builds(
    candidate,
    person=_people,
    entered_at=st.integers(NOW - 2 * WINDOW, NOW),
    attempts=st.integers(0, 2),
    retracted=st.booleans(),
    contact=st.sampled_from(
        [Contact(), Contact(email="a@example.com"), Contact(email="b@example.com")]
    ),
)
_hashes = st.sampled_from([address_hash(WORKSPACE, f"{n}@example.com") for n in "ab"])
_memories = st.builds(
    Memory,
    persons=st.frozensets(_people.map(lambda it: (KEY, it)), max_size=2),
    addresses=st.frozensets(_hashes.map(lambda it: (KEY, it)), max_size=1),
    suppressed=st.frozensets(_hashes.map(lambda it: (WORKSPACE, it)), max_size=1),
)


@settings(deadline=None)
@given(st.lists(_candidates, max_size=8), _memories)
def test_every_message_has_one_fate_and_nobody_gets_two(
    candidates: list[Candidate], memory: Memory
) -> None:
    verdicts = asked(*candidates, memory=memory)

    fates = [it.candidate.id if isinstance(it, Send) else it.id for it in verdicts]
    sends = [it for it in verdicts if isinstance(it, Send)]
    assert fates == [it.id for it in candidates]
    assert len({it.candidate.person for it in sends}) == len(sends)
    assert len({it.address_hash for it in sends}) == len(sends)
    for it in sends:
        assert it.candidate.entered_at >= NOW - WINDOW
        assert not it.candidate.retracted
        assert (WORKSPACE, it.address_hash) not in memory.suppressed
        assert (KEY, it.address_hash) not in memory.addresses
        assert (KEY, it.candidate.person) not in memory.persons
