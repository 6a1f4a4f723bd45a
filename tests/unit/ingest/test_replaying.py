"""Replay: what a request said of its events is still said of one that is replayed."""

import msgspec
import pytest

from clm_common import catalog
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.contracts.touchpoint import HISTORICAL, INTERNAL, MARKS_HEADER, marks_of
from clm_ingest.core.admission import Origin, admit
from clm_ingest.core.glimpse import Fault
from clm_ingest.core.hooks import Hook
from clm_ingest.core.insiders import Insiders
from clm_ingest.core.parcel import Limits, Parcel
from clm_ingest.core.quarantine import letters_of
from clm_ingest.core.replaying import Order, readmit

LIMITS = Limits()
NOBODY = b'{"type": "track", "event": "Order Completed", "messageId": "m-1"}'
MENDED = b'{"type": "track", "event": "Order Completed", "userId": "ada"}'

CRM = """\
key: crm
id: body.call
touchpoints:
  - {when: body.call, event: Call Ended, userId: body.who, timestamp: body.at}
"""


def letter_of(*, internal: bool, historical: bool) -> DeadLetter:
    origin = Origin("acme", "shop", 1_700_000_000_000_000, internal=internal)
    parcel = Parcel(None, [NOBODY], None, historical=historical)
    refused = admit(parcel, origin, LIMITS, lambda: "m-new", None).refused
    (message,) = letters_of(refused, origin, parcel)
    return msgspec.json.decode(message.value, type=DeadLetter)


def marks(letter: DeadLetter, insiders: Insiders | None = None) -> tuple[str, ...]:
    order = Order("letter-1", letter, "acme", "shop", MENDED, insiders)
    admitted = readmit(order, LIMITS, None)
    assert not isinstance(admitted, Fault)
    (message,) = admitted
    return marks_of(dict(message.all_headers()).get(MARKS_HEADER))


@pytest.mark.parametrize("internal", [False, True])
@pytest.mark.parametrize("historical", [False, True])
def test_a_replayed_event_keeps_the_marks_of_its_request(
    internal: bool,  # noqa: FBT001 - a parameter of the test
    historical: bool,  # noqa: FBT001 - likewise
) -> None:
    letter = letter_of(internal=internal, historical=historical)

    expected = (*[INTERNAL] * internal, *[HISTORICAL] * historical)
    assert marks(letter) == expected


def test_a_replayed_record_keeps_the_marks_of_its_headers() -> None:
    letter = DeadLetter(
        "touchpoint.invalid",
        "it is none",
        "2026-11-22T10:00:00Z",
        NOBODY,
        headers={MARKS_HEADER: HISTORICAL},
    )

    assert marks(letter) == (HISTORICAL,)


@pytest.mark.parametrize("internal", [False, True])
def test_an_event_of_the_companys_own_people_is_marked_once_when_it_is_replayed(
    internal: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    own = Insiders.of(["ada"], [])

    assert marks(letter_of(internal=internal, historical=True), own) == (INTERNAL, HISTORICAL)


def test_a_replayed_webhook_keeps_the_marks_of_its_request() -> None:
    mapping = catalog.read(CRM, "crm.yaml", Hook).definition
    letter = DeadLetter(
        "hook.identity_missing",
        "nobody is named",
        "2026-11-22T10:00:00Z",
        b'{"call": "c-1", "at": "2026-11-22T09:00:00Z"}',
        hook="crm",
        marks=(INTERNAL,),
    )
    mended = b'{"call": "c-1", "at": "2026-11-22T09:00:00Z", "who": "u-1"}'

    admitted = readmit(Order("l-1", letter, "acme", "shop", mended), LIMITS, None, mapping)

    assert not isinstance(admitted, Fault)
    (message,) = admitted
    assert marks_of(dict(message.all_headers()).get(MARKS_HEADER)) == (INTERNAL,)
