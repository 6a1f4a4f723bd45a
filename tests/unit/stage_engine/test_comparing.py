"""What another definition would make of people: the figures add up and say what the folds say."""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clm_stage_engine import definitions
from clm_stage_engine.core.comparing import Differences, StageLine, add, stage_lines
from clm_stage_engine.core.fold import Touch, fold, order
from clm_stage_engine.core.lifecycle import Draft, Lifecycle
from tests.support.lifecycles import END, drafts, people
from tests.support.timelines import day, lifecycle, touch

thorough = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
crowds = st.lists(people(most=8), min_size=1, max_size=5)
Definition = tuple[Draft, Lifecycle]


def count(
    found: Differences, old: Lifecycle, new: Lifecycle, crowd: list[list[Touch]], first: int = 0
) -> Differences:
    for number, touches in enumerate(crowd, first):
        now, then = (fold(it, order(touches), day(END)).changes for it in (old, new))
        add(
            found,
            f"p{number}",
            len(touches),
            now,
            then,
            names=new.names,
            same_key=old.key == new.key,
            each=3,
        )
    return found


@thorough
@given(drafts(), crowds)
def test_a_definition_held_against_itself_changes_nothing(
    definition: Definition, crowd: list[list[Touch]]
) -> None:
    _, it = definition

    found = count(Differences(), it, it, crowd)

    assert found.people == len(crowd)
    assert found.touchpoints == sum(map(len, crowd))
    assert (found.rewritten, found.earlier, found.later) == (0, {}, {})
    assert (found.retracted, found.asserted, found.examples) == ({}, {}, {})
    assert all(row.keys() <= {stage} for stage, row in found.matrix.items())


@thorough
@given(drafts(), drafts(), crowds)
def test_the_figures_of_the_stages_add_up_and_are_those_of_the_folds(
    some: Definition, other: Definition, crowd: list[list[Touch]]
) -> None:
    old, new = some[1], other[1]

    found = count(Differences(), old, new, crowd)

    lines = stage_lines(found, sorted({*new.names, *old.names}))
    for it in lines:
        assert it.now == it.same + it.earlier + it.later + it.left
        assert it.then == it.same + it.earlier + it.later + it.entered
    for field, definition in (("now", old), ("then", new)):
        stood = Counter(fold(definition, order(it), day(END)).changes[-1].target for it in crowd)
        assert {it.stage: getattr(it, field) for it in lines if getattr(it, field)} == stood


@thorough
@given(drafts(), drafts(), crowds, st.data())
def test_a_count_written_down_anywhere_and_gone_on_with_gives_the_same(
    some: Definition, other: Definition, crowd: list[list[Touch]], data: st.DataObject
) -> None:
    old, new = some[1], other[1]
    whole = count(Differences(), old, new, crowd)
    cut = data.draw(st.integers(0, len(crowd)))

    part = count(Differences(), old, new, crowd[:cut])
    written = msgspec.json.decode(msgspec.json.encode(part), type=Differences)

    assert count(written, old, new, crowd[cut:], cut) == whole


@thorough
@given(drafts(), drafts(), people())
def test_the_stage_changes_that_would_follow_turn_one_timeline_into_the_other(
    some: Definition, other: Definition, touches: list[Touch]
) -> None:
    old, new = some[1], other[1]
    before, after = (
        {
            (it.at, it.source, it.target, it.cause)
            for it in fold(each, order(touches), day(END)).changes
        }
        for each in (old, new)
    )

    found = count(Differences(), old, new, [touches])

    assert found.retracted == Counter(it[2] for it in before - after)
    assert found.asserted == Counter(it[2] for it in after - before)


def test_a_known_change_gives_the_figures_counted_by_hand() -> None:
    old = lifecycle(
        "{from: a, to: b, when: {event: Buy}}",
        "{from: b, to: c, when: {event: Buy, nth: 3}}",
        stages="abc",
    )
    new = lifecycle(
        "{from: a, to: b, when: {event: Buy}}",
        "{from: b, to: c, when: {event: Buy, nth: 2}}",
        stages="abc",
    )
    crowd = [[touch("Buy", it) for it in range(1, many + 1)] for many in (1, 1, 2, 3, 4)]

    found = count(Differences(), old, new, crowd)

    assert stage_lines(found, "abc") == [
        StageLine("a", now=0, then=0, same=0, earlier=0, later=0, left=0, entered=0),
        StageLine("b", now=3, then=2, same=2, earlier=0, later=0, left=1, entered=0),
        StageLine("c", now=2, then=3, same=0, earlier=2, later=0, left=0, entered=1),
    ]
    assert found.matrix == {"b": {"b": 2, "c": 1}, "c": {"c": 2}}
    assert (found.retracted, found.asserted) == ({"c": 2}, {"c": 3})
    assert {kind: [it.profile_id for it in shown] for kind, shown in found.examples.items()} == {
        "b moved c": ["p2"],
        "c earlier c": ["p3", "p4"],
    }


def test_a_renamed_stage_is_the_same_stage_though_its_stage_changes_are_new() -> None:
    old = lifecycle("{from: a, to: b, when: {event: Buy}}", stages="ab")
    new = definitions.parse(
        "key: sample\nstart: a\nstages: [{key: a}, {key: customer, aliases: [b]}]\n"
        "moves:\n  - {from: a, to: b, when: {event: Buy}}\n"
    )

    found = count(Differences(), old, new, [[touch("Buy", 1)]])

    assert found.matrix == {"customer": {"customer": 1}}
    assert found.rewritten == 0
    assert (found.retracted, found.asserted) == ({"b": 1}, {"customer": 1})


def test_of_another_lifecycle_every_stage_change_is_another_one() -> None:
    old = lifecycle("{from: a, to: b, when: {event: Buy}}", stages="ab")
    text = "key: other\nstart: a\nstages: [{key: a}, {key: b}]\n"
    new = definitions.parse(f"{text}moves:\n  - {{from: a, to: b, when: {{event: Buy}}}}\n")

    found = count(Differences(), old, new, [[touch("Buy", 1)]])

    assert found.matrix == {"b": {"b": 1}}
    assert found.retracted == found.asserted == {"a": 1, "b": 1}
    assert found.examples == {}
