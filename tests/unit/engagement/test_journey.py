from __future__ import annotations

from uuid import uuid5

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from clm_common.catalog import read
from clm_common.contracts.stage_change import StageChange
from clm_common.errors import DefinitionError
from clm_common.instant import DAY, HOUR, to_rfc3339
from clm_engagement.core.facts import learn_all
from clm_engagement.core.journey import (
    FAILED,
    HISTORICAL,
    PENDING,
    RETRACTED,
    SENDING,
    SENT,
    SKIPPED,
    UNKNOWN,
    Journey,
    Message,
    plan,
)
from tests.support.engagement import NOW, WELCOME, WINDOW, entered, known, taken_back

ANN = known("ann")


def planned(*changes: StageChange, before: Message | None = None) -> list[Message]:
    entries = list(learn_all(changes).entries.values())
    existing = {} if before is None else {before.id: before}
    return plan([WELCOME], entries, existing, live_since=NOW - WINDOW)


def test_entering_the_stage_plans_one_message() -> None:
    (message,) = planned(entered(ANN))

    assert (message.state, message.reason) == (PENDING, None)
    assert (message.journey, message.step, message.channel) == ("welcome", "welcome", "email")
    assert message.entered_at == NOW - HOUR


def test_entering_from_nowhere_counts_where_null_is_named() -> None:
    assert planned(entered(ANN, source=None))


@pytest.mark.parametrize(
    "change",
    [
        entered(ANN, target="conversion"),
        entered(ANN, source="conversion"),
    ],
)
def test_other_entries_plan_nothing(change: StageChange) -> None:
    assert planned(change) == []


@given(order=st.permutations(range(4)), retracted=st.booleans())
def test_a_lifecycle_beside_the_journeys_own_changes_nothing(
    *, order: list[int], retracted: bool
) -> None:
    own = entered(ANN)
    beside = [
        replace(own, id=uuid5(own.id, f"{at}"), lifecycle="beside", at=to_rfc3339(at), source=None)
        for at in (NOW - 3 * HOUR, NOW - HOUR, NOW)
    ]
    if retracted:
        beside = [replace(it, retracted=True, version=it.version + 1) for it in beside]
    changes = [own, *beside]

    assert planned(*(changes[it] for it in order)) == planned(own)
    assert planned(*beside) == []


def test_a_journey_of_a_lifecycle_beside_the_main_one_goes_by_it_alone() -> None:
    journey = WELCOME.model_copy(update={"lifecycle": "beside"})
    own = entered(ANN)
    beside = replace(own, id=uuid5(own.id, "beside"), lifecycle="beside")
    entries = list(learn_all([own, beside]).entries.values())

    (message,) = plan([journey], entries, {}, live_since=NOW - WINDOW)

    assert message.cause == beside.id


def test_nobody_is_written_to_because_of_imported_history_however_recent() -> None:
    (message,) = planned(entered(ANN, historical=True))

    assert (message.state, message.reason) == (SKIPPED, HISTORICAL)


def test_whoever_enters_again_is_not_welcomed_again() -> None:
    (first,) = planned(entered(ANN, at=NOW - 2 * HOUR))

    assert planned(entered(ANN, at=NOW - 2 * HOUR), entered(ANN, at=NOW), before=first) == []


def test_a_stage_entered_before_the_live_window_is_history() -> None:
    (inside,) = planned(entered(ANN, at=NOW - WINDOW))
    (outside,) = planned(entered(ANN, at=NOW - WINDOW - 1))

    assert (inside.state, inside.reason) == (PENDING, None)
    assert (outside.state, outside.reason) == (SKIPPED, HISTORICAL)


def test_a_retracted_entry_takes_the_message_back() -> None:
    change = entered(ANN)
    (before,) = planned(change)

    (after,) = planned(change, taken_back(change), before=before)

    assert after.id == before.id
    assert (after.state, after.reason) == (SKIPPED, RETRACTED)


def test_an_entry_asserted_again_brings_the_message_back() -> None:
    change = entered(ANN)
    (gone,) = planned(taken_back(change))

    (back,) = planned(taken_back(change), entered(ANN, version=9), before=gone)

    assert (back.state, back.reason) == (PENDING, None)


def test_a_correction_moves_the_message_to_the_entry_that_stands() -> None:
    wrong, right = entered(ANN, at=NOW - HOUR), entered(ANN, at=NOW - 3 * DAY)
    (before,) = planned(wrong)

    (after,) = planned(taken_back(wrong), right, before=before)

    assert after.cause == right.id
    assert (after.state, after.reason) == (SKIPPED, HISTORICAL)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (SENDING, None),
        (SENT, None),
        (UNKNOWN, "interrupted"),
        (FAILED, "recipient"),
        (SKIPPED, "suppressed"),
        (SKIPPED, "no_address"),
    ],
)
def test_what_has_been_decided_stays_whatever_the_river_says(
    state: str, reason: str | None
) -> None:
    change = entered(ANN)
    (message,) = planned(change)
    settled = msgspec.structs.replace(message, state=state, reason=reason)

    assert planned(taken_back(change), before=settled) == []


def test_a_waiting_message_does_not_become_history_while_it_waits() -> None:
    change = entered(ANN, at=NOW - WINDOW)
    (waiting,) = planned(change)
    entries = list(learn_all([change]).entries.values())

    assert plan([WELCOME], entries, {waiting.id: waiting}, live_since=NOW) == []


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("entry: sometimes", "2: entry: "),
        ("steps: []", "exactly one step"),
        ("when: {enters: acquisition, from: []}", "from"),
        ("wehn: {}", "did you mean 'when'"),
    ],
)
def test_a_journey_that_cannot_be_right_names_file_and_line(line: str, complaint: str) -> None:
    parts = {
        "entry": "entry: once",
        "lifecycle": "lifecycle: reach",
        "when": "when: {enters: acquisition}",
        "steps": "steps: [{key: a, send: email, template: a}]",
    }
    parts[line.partition(":")[0]] = line
    text = "\n".join(["key: welcome", *parts.values()])

    with pytest.raises(DefinitionError) as refusal:
        read(text, "welcome.yaml", Journey)

    assert "welcome.yaml:" in str(refusal.value)
    assert complaint in str(refusal.value)
