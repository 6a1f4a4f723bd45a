"""A lifecycle tried out on events of a file: the same outcome in any order, with its reasons."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clm_common.contracts.ids import ANONYMOUS_ID, USER_ID, profile_id
from clm_stage_engine import definitions
from clm_stage_engine.changing.simulate import main
from clm_stage_engine.core.explain import explain
from clm_stage_engine.core.fold import Touch, fold, order
from clm_stage_engine.core.lifecycle import Draft, Lifecycle
from clm_stage_engine.core.simulating import Event, Walk, simulate
from tests.support.lifecycles import END, drafts, people
from tests.support.timelines import day

SHOP = """
key: shop
start: seen
stages: [{key: seen}, {key: buyer}, {key: gone}]
moves:
  - {from: [seen, gone], to: buyer, when: {event: Buy}}
  - {from: buyer, to: gone, name: lapsed, when: {silent: 30d, of: Buy}}
"""
LINES = [
    {"timestamp": "2026-01-01T09:00:00Z", "type": "page", "anonymousId": "d"},
    {"timestamp": "2026-01-02T09:00:00Z", "type": "identify", "userId": "ada", "anonymousId": "d"},
    {"timestamp": "2026-01-03T09:00:00Z", "event": "Buy", "userId": "ada", "messageId": "m1"},
    {"timestamp": "2026-01-03T09:00:00Z", "event": "Buy", "userId": "ada", "messageId": "m1"},
    {"timestamp": "2026-01-05T09:00:00Z", "event": "Buy", "userId": "bob"},
    {"timestamp": "2026-01-06T09:00:00Z", "type": "page", "anonymousId": "bob"},
]


def event(touch: Touch, user: str) -> Event:
    return Event(
        touch.time,
        touch.message_id,
        touch.type,
        touch.event,
        touch.body,
        ("w", USER_ID, user),
        None,
    )


@settings(max_examples=60, deadline=None)
@given(drafts(), people(fewest=3), st.integers(0, END * 2), st.randoms(use_true_random=False))
def test_a_simulation_is_the_fold_of_what_has_happened_by_then_whatever_the_order(
    definition: tuple[Draft, Lifecycle], touches: list[Touch], at: int, chance: random.Random
) -> None:
    _, lifecycle = definition
    until = day(at / 2)
    events = [event(it, "u") for it in touches]
    past = [it for it in touches if it.time <= until]

    walks = simulate(lifecycle, events, until, profile_id)
    shuffled = simulate(lifecycle, chance.sample(events, len(events)), until, profile_id)

    changes = fold(lifecycle, order(past), until).changes
    assert shuffled == walks
    assert [it.why for walk in walks for it in walk.timeline] == [
        explain(lifecycle, it) for it in changes
    ]
    assert [walk.events for walk in walks] == ([len(past)] if past else [])


def run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[str], *options: str
) -> tuple[int, str, str]:
    definition, events = tmp_path / "shop.yaml", tmp_path / "events.ndjson"
    definition.write_text(SHOP)
    events.write_text("\n".join(lines))
    code = main([str(definition), "--events", str(events), *options])
    told = capsys.readouterr()
    return code, told.out, told.err


def written(lines: list[dict[str, str]]) -> list[str]:
    return [json.dumps(line) for line in lines]


def test_a_file_gives_everybodys_timeline_with_deadlines_and_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(tmp_path, capsys, written(LINES), "--until", "2026-02-03", "--json")

    assert code == 0, err
    walks = [json.loads(line) for line in out.splitlines()]
    assert [(it["person"], it["events"]) for it in walks] == [("ada", 3), ("bob", 1), ("bob", 1)]
    ada = [(it["why"]["at"][:10], it["target"], it["why"]["kind"]) for it in walks[0]["timeline"]]
    assert ada == [
        ("2026-01-01", "seen", "start"),
        ("2026-01-03", "buyer", "touchpoint"),
        ("2026-02-02", "gone", "deadline"),
    ]
    assert walks[0]["timeline"][2]["why"]["guards"] == [
        {"condition": "no Buy for 30d", "value": "30d", "holds": True}
    ]
    bob = next(it for it in walks if it["stage"] == "buyer")
    assert [(it["target"], it["due"][:10]) for it in bob["ahead"]] == [("gone", "2026-02-04")]


def test_the_output_does_not_depend_on_the_order_of_the_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given_order = run(tmp_path, capsys, written(LINES))
    reverse = run(tmp_path, capsys, written(LINES)[::-1])

    assert given_order == reverse
    assert "seen > buyer  (seen->buyer, by simulation/m1)" in given_order[1]
    assert "on 2026-02-02 09:00:00 to gone if nothing happens before (lapsed)" in given_order[1]


def test_the_same_line_without_an_id_is_as_many_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, _ = run(tmp_path, capsys, written([LINES[0]] * 3))

    assert out.startswith("d, 3 events")


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ('{"timestamp": "2026-01-01", "event": "Buy"}', "add a userId or an anonymousId"),
        ('{"event": "Buy", "userId": "u"}', "no timestamp"),
        ('{"timestamp": "2026-01-01", "userId": "u"}', "neither type nor event"),
        ('{"timestamp": "soon", "event": "Buy", "userId": "u"}', "soon"),
        ("{", "events.ndjson:2"),
    ],
    ids=["nobody", "no time", "no kind", "bad time", "no JSON"],
)
def test_a_line_that_is_no_event_is_refused_with_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, advice: str
) -> None:
    code, out, err = run(tmp_path, capsys, [json.dumps(LINES[0]), line])

    assert (code, out) == (65, "")
    assert "events.ndjson:2" in err
    assert advice in err


def test_nobody_walks_where_nothing_has_happened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(tmp_path, capsys, written(LINES), "--until", "2025-01-01")

    assert (code, out) == (0, "")


def test_two_people_of_the_same_name_stay_two() -> None:
    touch = Touch(day(1), "s/m", "page", None, b"{}")
    device = Event(touch.time, "s/n", "page", None, b"{}", None, ("w", ANONYMOUS_ID, "u"))

    walks: list[Walk] = simulate(
        definitions.parse(SHOP), [event(touch, "u"), device], day(2), profile_id
    )

    assert [(it.person, it.events) for it in walks] == [("u", 1), ("u", 1)]
