"""What a lifecycle is refused for, and that the refusals are true."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import HealthCheck, assume, given, settings

from clm_common.errors import DefinitionError
from clm_stage_engine import definitions
from clm_stage_engine.core.fold import Touch, fold, lapse, order
from clm_stage_engine.core.lifecycle import Draft, Lifecycle
from clm_stage_engine.core.soundness import check
from clm_stage_engine.language.conditions import When
from tests.support.lifecycles import END, drafts, people, written
from tests.support.naive_fold import naive_fold
from tests.support.timelines import day

HEAD = """key: sample
start: new
stages:
  - {key: new}
  - {key: active, aliases: [busy]}
  - {key: gone}
moves:
"""
USUAL = """  - {from: new, to: active, when: {event: A}}
  - {from: active, to: gone, when: {silent: 9d, of: A}}
"""


TWO = """  - {{from: new, to: active, when: {{event: Y}}}}
  - {{from: new, to: gone, when: {{event: Z}}}}
  - {{from: gone, to: active, when: {}}}
  - {{from: gone, to: new, when: {}}}
"""


def refusal(text: str) -> list[str]:
    """Give the lines of the error that a definition is refused with."""
    with pytest.raises(DefinitionError) as refused:
        definitions.parse(text, "sample.yaml")
    return str(refused.value).splitlines()


def test_a_sound_lifecycle_is_accepted_and_aliases_name_its_stages() -> None:
    lifecycle = definitions.parse(HEAD + USUAL + "  - {from: gone, to: busy, when: {event: A}}")

    assert [move.name for move in lifecycle.moves] == [
        "new->active",
        "active->gone",
        "gone->active",
    ]
    assert lifecycle.names["busy"] == "active"


def test_from_anywhere_is_every_stage_but_the_target() -> None:
    lifecycle = definitions.parse(HEAD + USUAL + '  - {from: "*", to: gone, when: {event: B}}')

    assert [move.source for move in lifecycle.moves[2:]] == ["new", "active"]


FIRST = "always comes first; put this one before it or make its condition differ"
DEAD = (
    "no touchpoint and no deadline can ever make this hold; "
    "name the event, silence or stage age that should bring it about"
)
YOUNG = "in_stage cannot be negated: nothing happens when a stage is still young; state what must"
SILENCE = (
    "a silence cannot be negated; say that it happened: {count: EVENT, gte: 1, within: DURATION}"
)
CIRCLE = "a silent profile would go round from 'active' to 'gone' and back for ever; let one of"


@pytest.mark.parametrize(
    ("moves", "where", "what"),
    [
        (
            "  - {from: new, to: activ, when: {event: A}}",
            "8: moves[0].to",
            "unknown stage 'activ'; did you mean 'active'?",
        ),
        (
            "  - {from: xyz, to: active, when: {event: A}}",
            "8: moves[0].from",
            "unknown stage 'xyz'; the stages are new, active, busy, gone",
        ),
        (
            "  - from:\n      - new\n      - busy\n    to: active\n    when: {event: A}",
            "10: moves[0].from[1]",
            "a move from 'busy' to itself changes nothing; leave it out",
        ),
        (
            "  - {from: [active, busy], to: gone, when: {event: A}}",
            "8: moves[0].from[1]",
            "stage 'busy' is listed twice; keep one",
        ),
        (
            '  - {from: ["*", new], to: gone, when: {event: A}}',
            "8: moves[0].from",
            '"*" stands alone: it is every stage but the target',
        ),
        (
            "  - {from: new, to: active, when: {event: A}}",
            "6: stages[2]",
            "no move leads from 'new' to stage 'gone'; add one",
        ),
        (
            USUAL + "  - {from: new, to: active, when: {event: A}}",
            "10: moves[2]",
            "repeats moves[0] for stage 'new'; keep one of them",
        ),
        (
            USUAL + "  - {from: new, to: gone, when: {event: A, nth: 2}}",
            "10: moves[2]",
            f"never taken: from 'new', moves[0] to 'active' {FIRST}",
        ),
        (
            USUAL + "  - {from: new, to: gone, when: {all: [{event: A}, {type: track}]}}",
            "10: moves[2]",
            f"never taken: from 'new', moves[0] to 'active' {FIRST}",
        ),
        (
            USUAL + "  - {from: active, to: new, when: {silent: 10d, of: [A, B]}}",
            "10: moves[2]",
            f"never taken: from 'active', moves[1] to 'gone' {FIRST}",
        ),
        (
            USUAL + "  - from: active\n    to: new\n    when: {all: [{event: A}, {event: B}]}",
            "12: moves[2].when",
            "can never hold: A and B exclude each other; correct one",
        ),
        (
            USUAL + "  - {from: gone, to: new, when: {all: [{event: A}, {silent: 2d, of: A}]}}",
            "10: moves[2].when",
            DEAD,
        ),
        (
            USUAL + "  - {from: gone, to: new, when: {count: A, lt: 0}}",
            "10: moves[2].when",
            "lt: 0 never holds; raise the number",
        ),
        (
            USUAL + "  - {from: gone, to: active, when: {not: {event: A}}}",
            "10: moves[2].when",
            DEAD,
        ),
        (
            USUAL + "  - {from: gone, to: new, when: {all: [{event: A}, {not: {in_stage: 2d}}]}}",
            "10: moves[2].when",
            f"{YOUNG} happen instead",
        ),
        (
            USUAL + "  - {from: gone, to: new, when: {not: {any: [{silent: 2d, of: A}]}}}",
            "10: moves[2].when",
            SILENCE,
        ),
        (
            USUAL + "  - {from: gone, to: active, when: {in_stage: 30d}}",
            "9: moves[1]",
            f"{CIRCLE} these moves need a touchpoint",
        ),
        (
            USUAL + "  - from: gone\n    to: active\n    when:\n"
            "      all: [{in_stage: 30d}, {count: A, lt: 1, within: 5d}]",
            "9: moves[1]",
            f"{CIRCLE} these moves need a touchpoint",
        ),
        (
            USUAL + "  - {from: new, to: gone, whn: {event: B}, when: {event: B}}",
            "10: moves[2].whn",
            "unknown key 'whn'; did you mean 'when'?",
        ),
    ],
)
def test_a_lifecycle_that_cannot_be_right_is_refused_with_line_and_advice(
    moves: str, where: str, what: str
) -> None:
    assert refusal(HEAD + moves) == [f"sample.yaml:{where}: {what}"]


ONE_OF = (
    "a condition is exactly one of event, type, channel, source, campaign, count, sum, distinct, "
    "first, last, since, trait, sequence, regularly, stopped, restarted, silent, in_stage, "
    "been_in, score, local, all, any, not; combine several with all or any"
)
COMPARE = "compare with exactly one of gt, gte, lt, lte, eq, ne"
RANGE = "a duration is from 1s to 36500d, this one is"
DURATION = "a duration is a whole number and s, m, h or d: 45s, 10m, 12h, 120d"


@pytest.mark.parametrize(
    ("condition", "where", "what"),
    [
        ("{}", "", ONE_OF),
        ("3", "", ONE_OF),
        ("{and: [{event: A}]}", "", ONE_OF),
        ("{since_last: A, gte: 1}", "", ONE_OF),
        ("{evnt: A}", "", "unknown key 'evnt'; did you mean 'event'?"),
        ("{gte: 2, cuont: A, within: 3d}", "", "unknown key 'cuont'; did you mean 'count'?"),
        ("{all: [{event: A}, {trate: x, eq: 1}]}", ".all[1]", "unknown key 'trate'; did you mean"),
        ("{'{event}': A}", "", "unknown key '{event}'; did you mean 'event'?"),
        ("{event: A, count: A, gte: 1}", "", ONE_OF),
        ("{all: []}", ".all", "is empty; list at least one"),
        ("{any: [{event: A}, {type: visit}]}", ".any[1].type", None),
        ("{event: []}", ".event", "is empty; list at least one"),
        ("{event: 404}", ".event", "write a name or a list of names, as text: quote a number"),
        ("{event: [A, A]}", ".event", "a name is listed twice; keep one"),
        ("{event: A, nth: 0}", ".nth", "Input should be greater than or equal to 1"),
        ("{event: A, within: 3d}", ".within", "key 'within' does not belong here; remove it"),
        ("{count: A}", "", COMPARE),
        ("{count: A, gte: 2, lte: 3}", "", COMPARE),
        ("{count: A, gte: 0}", "", "gte: 0 always holds; leave it out or raise the number"),
        ("{count: A, gte: -1}", ".gte", "Input should be greater than or equal to 0"),
        ("{count: A, gte: 1.5}", ".gte", None),
        ("{count: A, gte: 5000, within: 1d}", "", None),
        ("{sum: a..b, of: A, gte: 1}", ".sum", None),
        ("{sum: a, of: A, gte: 0.0000001}", ".gte", None),
        ("{sum: a, gte: 1}", "", "key 'of' is missing; add it"),
        ("{silent: 3w, of: A}", ".silent", DURATION),
        ("{silent: 1.5d, of: A}", ".silent", DURATION),
        ("{silent: 03d, of: A}", ".silent", DURATION),
        ("{silent: 120, of: A}", ".silent", DURATION),
        ("{silent: 0d, of: A}", ".silent", f"{RANGE} 0d"),
        ("{silent: -3h, of: A}", ".silent", f"{RANGE} -3h"),
        ("{count: A, gte: 2, within: 0d}", ".within", f"{RANGE} 0d"),
        ("{count: A, gte: 2, within: 40000d}", ".within", f"{RANGE} 40000d"),
        ("{in_stage: 36501d}", ".in_stage", f"{RANGE} 36501d"),
        ("{in_stage: 99999999999d}", ".in_stage", f"{RANGE} 99999999999d"),
        ("{silent: 3d}", "", "key 'of' is missing; add it"),
    ],
)
def test_a_condition_that_cannot_be_read_is_refused_where_it_stands(
    condition: str, where: str, what: str | None
) -> None:
    lines = refusal(HEAD + USUAL + f"  - from: new\n    to: gone\n    when: {condition}")

    assert len(lines) == 1
    assert lines[0].startswith(f"sample.yaml:12: moves[2].when{where}: {what or ''}")


def test_a_word_that_stands_beside_a_kind_is_taken_for_none() -> None:
    kinds = [get_args(it)[1].tag.strip("<>") for it in get_args(get_args(When)[0])]
    models = [get_args(it)[0] for it in get_args(get_args(When)[0])]
    words = {it.alias or name for model in models for name, it in model.model_fields.items()}

    for word in words - {*kinds}:
        lines = refusal(HEAD + USUAL + f"  - {{from: new, to: gone, when: {{{word}: 1}}}}")
        assert lines == [f"sample.yaml:10: moves[2].when: {ONE_OF}"]


@pytest.mark.parametrize(
    "move",
    [
        "{from: new, to: gone, when: {all: [{event: B}, {count: A, gte: 1}]}}",
        "{from: active, to: new, when: {silent: 8d, of: [A, B]}}",
        "{from: active, to: new, when: {silent: 10d, of: B}}",
        "{from: active, to: new, when: {event: A}}",
        "{from: gone, to: active, when: {all: [{in_stage: 30d}, {count: A, gte: 1, within: 90d}]}}",
        "{from: gone, to: active, when: {count: A, lt: 1, within: 5d}}",
    ],
)
def test_moves_that_only_look_alike_are_accepted(move: str) -> None:
    lifecycle = definitions.parse(f"{HEAD}{USUAL}  - {move}")

    assert len(lifecycle.moves) == 3


@pytest.mark.parametrize(
    "condition",
    [
        "[{count: A, gte: 3, within: 9d}, {count: A, lte: 2, within: 9d}]",
        "[{count: A, gte: 3, within: 5d}, {count: A, lt: 3, within: 9d}]",
        "[{count: A, eq: 2}, {count: A, eq: 3}]",
        "[{sum: p.x, of: A, gt: 9}, {sum: p.x, of: A, lte: 9}, {event: B}]",
        "[{distinct: p.x, of: A, gte: 4}, {distinct: p.x, of: A, lt: 4}, {event: A}]",
        "[{trait: plan, eq: pro}, {trait: plan, eq: free}]",
        "[{trait: age, gte: 18}, {trait: age, lt: 18}]",
        "[{trait: plan, exists: false}, {trait: plan, eq: free}]",
        "[{event: A}, {type: identify}]",
        "[{event: A}, {not: {event: A}}, {count: A, gte: 1}]",
        "[{event: A}, {silent: 2d, of: [A, B]}]",
        "[{event: B}, {count: B, eq: 0}]",
        "[{event: B}, {local: {days: [mon]}}, {local: {days: [tue, wed]}}]",
        '[{event: B}, {local: {hours: "09:00-12:00"}}, {local: {hours: "12:00-13:00"}}]',
        "[{event: B}, {score: {A: 1}, linear: 9d, gte: 9}, {score: {A: 1}, linear: 9d, lt: 9}]",
        "[{event: B}, {since: A, gte: 9d}, {since: A, lt: 9d}]",
        "[{event: B}, {any: [{count: A, eq: 1}, {count: A, eq: 2}]}, {count: A, gte: 3}]",
        "[{regularly: A, every: 1d, periods: 3}, {not: {regularly: A, every: 1d, periods: 3}}]",
    ],
)
def test_parts_that_exclude_each_other_are_refused(condition: str) -> None:
    lines = refusal(HEAD + USUAL + f"  - {{from: gone, to: new, when: {{all: {condition}}}}}")

    assert len(lines) == 1
    assert lines[0].startswith("sample.yaml:10: moves[2].when: ")
    assert "exclude each other" in lines[0] or lines[0].endswith(DEAD)


@pytest.mark.parametrize(
    "condition",
    [
        "[{event: B}, {count: A, gte: 3, within: 9d}, {count: A, lte: 2, within: 5d}]",
        "[{event: B}, {sum: p.x, of: A, gt: 9, within: 5d}, {sum: p.x, of: A, lt: 9, within: 9d}]",
        "[{event: B}, {trait: plan, ne: pro}, {trait: plan, ne: free}]",
        "[{event: B}, {trait: age, gte: 18}, {trait: age, lte: 18}]",
        "[{event: B}, {any: [{count: A, eq: 1}, {count: A, eq: 3}]}, {count: A, gte: 3}]",
        "[{event: B}, {local: {days: [mon]}}, {local: {days: [tue, mon]}}]",
        "[{event: B, nth: 2}, {event: B}]",
        "[{event: '*'}, {not: {event: B}}]",
    ],
)
def test_parts_that_only_look_contrary_are_accepted(condition: str) -> None:
    text = HEAD + USUAL + f"  - {{from: gone, to: new, when: {{all: {condition}}}}}"

    assert len(definitions.parse(text).moves) == 3


@pytest.mark.parametrize(
    ("tests", "what"),
    [
        ("{gte: 3, lt: 3}", "no value can pass all of these tests"),
        ("{eq: a, in: [b, c]}", "no value can pass all of these tests"),
        ("{exists: false, starts: a}", "no value can pass all of these tests"),
        ("{gte: 3, lt: b}", "no value can pass all of these tests"),
        ("{}", "test with at least one of"),
        ("{matches: '(a'}", "missing )"),
        ("{matches: '(?=a)'}", "invalid perl operator"),
        ("{like: a}", "unknown key 'like'"),
    ],
)
def test_a_predicate_that_nothing_can_pass_is_refused(tests: str, what: str) -> None:
    move = f"  - {{from: gone, to: new, when: {{event: B, where: {{properties.x: {tests}}}}}}}"

    lines = refusal(HEAD + USUAL + move)

    assert len(lines) == 1
    assert lines[0].startswith("sample.yaml:10: moves[2].when.where.properties.x")
    assert what in lines[0]


def test_moves_of_one_priority_that_may_meet_are_refused() -> None:
    first = "  - {from: gone, to: new, when: {event: [A, B]}, priority: 5}\n"
    second = "  - {{from: gone, to: active, when: {{event: {}}}, priority: {}}}"

    lines = refusal(HEAD + USUAL + first + second.format("[B, C]", 5))

    clash = (
        "moves[2] to 'new' has the same priority and may hold at the same moment in stage 'gone'"
    )
    assert len(lines) == 1
    assert lines[0].startswith(f"sample.yaml:11: moves[3].priority: {clash}")
    assert len(definitions.parse(HEAD + USUAL + first + second.format("[B, C]", 4)).moves) == 4
    assert len(definitions.parse(HEAD + USUAL + first + second.format("[C, D]", 5)).moves) == 4


def test_a_stage_that_a_condition_asks_for_must_be_there() -> None:
    move = "  - {from: gone, to: new, when: {all: [{event: A}, {been_in: actve}]}}"

    lines = refusal(HEAD + USUAL + move)

    assert lines == ["sample.yaml:10: moves[2].when: unknown stage 'actve'; did you mean 'active'?"]


def test_every_problem_is_listed_at_once() -> None:
    lines = refusal(HEAD + "  - {from: nwe, to: activ, when: {event: A}}")

    assert [line.split(";")[0] for line in lines] == [
        "sample.yaml:8: moves[0].to: unknown stage 'activ'",
        "sample.yaml:8: moves[0].from: unknown stage 'nwe'",
    ]


def test_the_start_must_be_a_stage() -> None:
    lines = refusal("key: sample\nstart: nwe\nstages: [{key: new}]\nmoves: []")

    assert lines == ["sample.yaml:2: start: unknown stage 'nwe'; did you mean 'new'?"]


def test_a_missing_start_is_named() -> None:
    lines = refusal("key: sample\nstages: [{key: new}]\nmoves: []")

    assert lines == ["sample.yaml:1: key 'start' is missing; add it"]


def test_stage_names_and_aliases_are_unique() -> None:
    lines = refusal(
        "key: sample\nstart: a\nstages:\n- {key: a}\n- {key: b, aliases: [a]}\nmoves: []"
    )

    assert lines == [
        "sample.yaml:5: stages[1]: stage name 'a' is taken already; names and aliases are unique"
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{count: A, gte: 2, within: 9d}", "{count: A, gt: 2, within: 5d}"),
        ("{count: A, gte: 2}", "{count: A, gte: 2, within: 5d}"),
        ("{any: [{event: A}, {event: B}]}", "{event: B}"),
        ("{event: [A, B]}", "{any: [{event: B}, {event: A, nth: 3}]}"),
        ("{type: track}", "{event: B}"),
        ("{count: B, gte: 1}", "{event: B}"),
        ("{in_stage: 2d}", "{silent: 3d, of: B}"),
        ("{in_stage: 2d}", "{all: [{in_stage: 3d}, {count: B, gte: 1}]}"),
    ],
)
def test_a_move_that_always_comes_second_is_refused_and_the_other_order_is_not(
    first: str, second: str
) -> None:

    lines = refusal(HEAD + TWO.format(first, second))

    assert lines[0].startswith("sample.yaml:11: moves[3]: never taken: from 'gone', moves[2]")
    assert len(definitions.parse(HEAD + TWO.format(second, first)).moves) == 4


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{count: A, gte: 2, within: 5d}", "{count: A, gte: 3, within: 9d}"),
        ("{count: A, lte: 2, within: 9d}", "{count: A, lte: 1, within: 5d}"),
        ("{event: A, nth: 2}", "{event: A}"),
        (
            "{all: [{event: B}, {count: A, lte: 2, within: 9d}]}",
            "{all: [{event: B}, {count: A, lte: 1, within: 5d}]}",
        ),
        ("{count: A, gte: 1}", "{all: [{event: B}, {count: A, gte: 1}]}"),
        ("{count: A, lt: 3, within: 5d}", "{count: A, lt: 2, within: 5d}"),
    ],
)
def test_a_move_that_may_come_second_is_accepted(first: str, second: str) -> None:

    assert len(definitions.parse(HEAD + TWO.format(first, second)).moves) == 4


def test_a_count_may_become_none_by_the_touchpoint_after_which_it_starts_anew() -> None:
    anew = "  - {from: active, to: new, when: {count: B, lt: 1, since_last: B}}\n"

    assert len(definitions.parse(HEAD + USUAL + anew).moves) == 3


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(written(), people(fewest=6))
def test_what_is_refused_as_dead_or_shadowed_is_never_taken(
    draft: Draft, touches: list[Touch]
) -> None:
    faults = [it for it in check(draft) if it.slug != "lifecycle.circle"]
    useless = {
        draft.rules[it.at[1]].name
        for it in faults
        if isinstance(it.at[1], int) and "any" not in it.at  # one way to hold of several
    }
    assume(useless - {"again"})

    timeline = naive_fold(draft, touches, day(END))

    assert not {entry[4] for entry in timeline} & (useless - {"again"})


@settings(max_examples=100, deadline=None)
@given(drafts(), people())
def test_an_accepted_lifecycle_comes_to_rest_when_nothing_happens(
    definition: tuple[Draft, Lifecycle], touches: list[Touch]
) -> None:
    _, lifecycle = definition
    last = fold(lifecycle, order(touches), until=day(END)).state
    assert last is not None

    rest = lapse(lifecycle, last, until=day(100_000))

    assert rest.state.due is None
    assert len(rest.changes) < len(lifecycle.stages)
