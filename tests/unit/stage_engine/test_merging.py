"""Who is one person because somebody decided so: a function of the set of links and decisions."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from clm_common.contracts.ids import ANONYMOUS_ID, USER_ID
from clm_stage_engine.core.identity import Key, Moved
from clm_stage_engine.core.merging import Bounds, Kind, Refusal, groups
from tests.support.identities import Seen, Taken, World, decided, device, own, seen, shared, user

ADA, BOB, CYD = user("ada"), user("bob"), user("cyd")
PHONE, LAPTOP = device("phone"), device("laptop")
EMAIL, NUMBER = shared("email", "home@example.com"), shared("phone", "+4930123456")
EVERYBODY = (ADA, BOB, CYD, PHONE, LAPTOP, EMAIL, NUMBER)
RANKS = {USER_ID: 1, "email": 3, "phone": 4, ANONYMOUS_ID: 9}
USUAL = Bounds({USER_ID: 20}, RANKS)
"""An installation where addresses and numbers join, but never two customers."""


def test_a_merged_user_goes_to_whom_they_are_merged_into_with_their_devices() -> None:
    world = World()
    world.receive(seen(1, "m1", by="ada"), seen(2, "m2", by="bob", on="phone"))

    found = world.receive(decided("merge", 5, ADA, BOB))

    assert {world.owner(it) for it in (ADA, BOB, PHONE)} == {own(ADA)}
    assert sorted(found.moved, key=lambda it: it.identity_id) == sorted(
        [Moved(own(BOB), own(BOB), own(ADA), 5, 1), Moved(own(PHONE), own(BOB), own(ADA), 5, 1)],
        key=lambda it: it.identity_id,
    )


def test_taking_a_merge_back_restores_both() -> None:
    world = World()
    world.receive(seen(1, "m1", by="ada", on="laptop"), seen(2, "m2", by="bob", on="phone"))
    before = world.owners(EVERYBODY)
    merge = decided("merge", 5, ADA, BOB)
    world.receive(merge)

    found = world.receive(decided("unmerge", 6, undoes=merge))

    assert world.owners(EVERYBODY) == before
    assert {it.moves for it in found.moved} == {2}


def test_a_merge_that_was_taken_back_before_it_arrived_merges_nobody() -> None:
    world = World()
    merge = decided("merge", 5, ADA, BOB)
    world.receive(seen(1, "m1", by="ada"), seen(2, "m2", by="bob"))

    world.receive(decided("unmerge", 6, undoes=merge))
    found = world.receive(merge)

    assert world.owner(BOB) == own(BOB)
    assert found.moved == []


def test_a_ring_of_aliases_is_one_person() -> None:
    world = World()

    world.receive(decided("alias", 1, ADA, BOB))
    world.receive(decided("alias", 2, BOB, CYD))
    world.receive(decided("alias", 3, CYD, ADA))

    assert {world.owner(it) for it in (ADA, BOB, CYD)} == {own(ADA)}


def test_a_decision_that_is_repeated_changes_nothing() -> None:
    world = World()
    merge = decided("merge", 5, ADA, BOB)
    world.receive(seen(1, "m1", by="ada"), seen(2, "m2", by="bob"), merge)

    found = world.receive(merge)

    assert found.moved == []


def test_somebody_who_is_named_before_they_are_seen_belongs_to_whom_they_are_merged_into() -> None:
    world = World()
    world.receive(decided("alias", 5, ADA, BOB))

    found = world.receive(seen(1, "m1", by="bob", on="phone"))

    assert found.owners[0].profile_id == own(ADA)
    assert world.owner(PHONE) == own(ADA)


def test_a_device_that_was_split_off_does_not_follow_its_links_any_more() -> None:
    world = World()
    world.receive(seen(1, "m1", by="ada", on="phone"))

    world.receive(decided("split", 5, PHONE))
    world.receive(seen(6, "m6", by="ada", on="phone"), seen(0, "m0", by="bob", on="phone"))

    assert world.owner(PHONE) == own(PHONE)


def test_a_device_that_was_split_off_can_be_merged_again() -> None:
    world = World()
    world.receive(seen(1, "m1", by="ada", on="phone"), decided("split", 5, PHONE))

    world.receive(decided("merge", 6, BOB, PHONE))

    assert world.owner(PHONE) == own(BOB)


def test_taking_a_split_back_gives_the_device_to_its_user_again() -> None:
    world = World()
    split = decided("split", 5, PHONE)
    world.receive(seen(1, "m1", by="ada", on="phone"), split)

    world.receive(decided("unmerge", 6, undoes=split))

    assert world.owner(PHONE) == own(ADA)


def test_splitting_off_whom_others_were_merged_through_keeps_the_others_together() -> None:
    world = World()
    world.receive(decided("merge", 1, ADA, BOB), decided("merge", 2, ADA, CYD))

    world.receive(decided("split", 3, ADA))

    assert (world.owner(ADA), world.owner(BOB), world.owner(CYD)) == (own(ADA), own(BOB), own(BOB))


def test_a_device_merged_with_a_customer_stays_theirs_whatever_its_links_say() -> None:
    world = World()
    world.receive(seen(3, "m3", on="phone"), seen(1, "m1", by="ada"))
    world.receive(decided("merge", 5, ADA, PHONE))

    world.receive(seen(2, "m2", by="bob", on="phone"))

    assert world.owner(PHONE) == own(ADA)
    assert world.owner(BOB) == own(BOB)


def test_devices_that_were_merged_follow_the_first_link_of_either() -> None:
    world = World()
    world.receive(seen(1, "m1", on="phone"), seen(1, "n1", on="laptop"))
    world.receive(decided("merge", 5, PHONE, LAPTOP))
    assert world.owner(LAPTOP) == own(PHONE)

    world.receive(seen(7, "m7", by="ada", on="laptop"))

    assert (world.owner(PHONE), world.owner(LAPTOP)) == (own(ADA), own(ADA))


def test_aliases_that_would_make_one_person_of_too_many_join_nobody() -> None:
    world = World(Bounds({USER_ID: 2}))

    world.receive(decided("alias", 1, ADA, BOB), decided("alias", 2, ADA, CYD))

    assert (world.owner(BOB), world.owner(CYD)) == (own(ADA), own(CYD))


def match(at: int, what: Key, who: Key) -> Taken:
    return decided("match", at, what, who, rank=RANKS[what[1]])


def test_devices_that_name_one_address_are_one_person_and_the_first_is_whose() -> None:
    world = World(USUAL)

    world.receive(match(2, EMAIL, LAPTOP), match(1, EMAIL, PHONE))

    assert {world.owner(it) for it in (PHONE, LAPTOP, EMAIL)} == {own(PHONE)}


def test_a_device_that_names_a_customer_s_address_is_the_customer_s() -> None:
    world = World(USUAL)
    world.receive(match(1, EMAIL, ADA))

    found = world.receive(seen(2, "m2", on="phone"), match(2, EMAIL, PHONE))

    assert world.owner(PHONE) == own(ADA)
    assert found.owners[0].profile_id == own(ADA)


def test_an_address_never_joins_two_customers_where_their_ids_are_stronger() -> None:
    world = World(USUAL)

    world.receive(match(1, EMAIL, ADA), match(2, EMAIL, BOB))

    assert (world.owner(ADA), world.owner(BOB), world.owner(EMAIL)) == (
        own(ADA),
        own(BOB),
        own(ADA),
    )


def test_a_stronger_kind_joins_customers_of_different_ids() -> None:
    crm = shared("crm", "7")
    world = World(Bounds({}, {"crm": 1, USER_ID: 2}))

    world.receive(decided("match", 1, crm, ADA, rank=1), decided("match", 2, crm, BOB, rank=1))

    assert world.owner(BOB) == own(ADA)


def test_of_what_one_call_names_the_stronger_joins_and_the_weaker_gives_way() -> None:
    world = World(USUAL)
    world.receive(match(1, EMAIL, ADA), match(1, NUMBER, BOB))

    world.receive(match(2, NUMBER, PHONE), match(2, EMAIL, PHONE))

    assert world.owner(PHONE) == own(ADA)
    assert world.owner(NUMBER) == own(BOB)


def test_a_login_is_stronger_than_an_address_whichever_arrives_first() -> None:
    login = seen(3, "m3", by="bob", on="phone")
    news: list[Seen | Taken] = [match(1, EMAIL, ADA), match(2, EMAIL, PHONE), login]

    for order in permutations(news):
        world = World(USUAL)
        for it in order:
            world.receive(it)
        assert world.owners([ADA, PHONE]) == {ADA: own(ADA), PHONE: own(BOB)}


def test_a_person_has_no_more_addresses_than_they_may_have() -> None:
    world = World(Bounds({"email": 1}, RANKS))
    other = shared("email", "other@example.com")

    world.receive(match(1, EMAIL, ADA), match(2, other, ADA), match(3, other, PHONE))

    assert world.owner(EMAIL) == own(ADA)
    assert world.owner(other) == world.owner(PHONE) == own(PHONE)


def test_devices_beyond_the_limit_stay_apart_until_one_before_them_goes() -> None:
    world = World(Bounds({ANONYMOUS_ID: 1}))
    world.receive(seen(2, "m2", on="laptop", by="ada"), seen(3, "m3", on="laptop"))
    assert world.owner(LAPTOP) == own(ADA)

    found = world.receive(seen(1, "m1", on="phone", by="ada"))
    then = world.owners([PHONE, LAPTOP])
    world.receive(seen(0, "m0", on="phone", by="bob"))

    assert [(it.identity_id, it.target) for it in found.moved] == [(own(LAPTOP), own(LAPTOP))]
    assert then == {PHONE: own(ADA), LAPTOP: own(LAPTOP)}
    assert world.owners([PHONE, LAPTOP]) == {PHONE: own(BOB), LAPTOP: own(ADA)}


def test_devices_join_nobody_where_none_may_be_theirs() -> None:
    world = World(Bounds({ANONYMOUS_ID: 0}))

    world.receive(seen(1, "m1", on="phone", by="ada"), seen(2, "m2", on="phone"))

    assert world.owner(PHONE) == own(PHONE)


def test_why_an_alias_or_a_match_joins_nobody_is_told() -> None:
    bounds = Bounds({USER_ID: 1, "email": 1}, RANKS)
    one, other = match(1, EMAIL, ADA), match(2, EMAIL, BOB)
    alias, third = decided("alias", 3, ADA, CYD), match(4, shared("email", "x@example.com"), ADA)
    world = World(bounds)
    world.receive(one, other, alias, third)

    found = groups(world.decisions.values(), world.rows, bounds)

    assert found.refused == {
        other.decision.id: Refusal("priority", USER_ID),
        alias.decision.id: Refusal("limit", USER_ID),
        third.decision.id: Refusal("limit", "email"),
    }


def _seen(number: int, at: int, by: str | None, on: str | None) -> Seen:
    return seen(at, f"m{number:02}", by=by, on=on)


_sightings = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.sampled_from(["ada", "bob", "cyd", None]),
        st.sampled_from(["phone", "laptop", None]),
    ).filter(lambda it: bool(it[1] or it[2])),
    max_size=8,
)
_pairs = st.tuples(st.sampled_from(EVERYBODY), st.sampled_from(EVERYBODY)).filter(
    lambda it: it[0] != it[1]
)


def _join(kind: Kind, at: int, pair: tuple[Key, Key]) -> Taken:
    return decided(kind, at, *pair)


def _split(at: int, one: Key) -> Taken:
    return decided("split", at, one)


_kinds: st.SearchStrategy[Kind] = st.sampled_from(["alias", "merge"])
_joins = st.builds(_join, _kinds, st.integers(0, 6), _pairs)
_matches = st.builds(
    match,
    st.integers(0, 6),
    st.sampled_from([EMAIL, NUMBER]),
    st.sampled_from([ADA, BOB, CYD, PHONE, LAPTOP]),
)
_bounds = st.sampled_from(
    [
        Bounds({USER_ID: 2}),
        USUAL,
        Bounds({USER_ID: 1, "email": 1, "phone": 1}, RANKS),
        Bounds({ANONYMOUS_ID: 1}, RANKS),
        Bounds({ANONYMOUS_ID: 0, USER_ID: 2}, {"phone": 1, USER_ID: 2, "email": 3}),
    ]
)
_splits = st.builds(_split, st.integers(0, 6), st.sampled_from(EVERYBODY))
_decisions = st.lists(_joins | _splits | _matches, max_size=6)


@st.composite
def _news(draw: st.DrawFn) -> list[Seen | Taken]:
    """Touchpoints and decisions, some of them taken back."""
    sightings = [_seen(n, *it) for n, it in enumerate(draw(_sightings))]
    taken = draw(_decisions)
    back = draw(st.lists(st.sampled_from(taken), max_size=2, unique_by=id)) if taken else []
    return [*sightings, *taken, *(decided("unmerge", 7, undoes=it) for it in back)]


@given(_news(), _bounds, st.data())
def test_any_order_batching_and_repeats_give_everybody_to_the_same_profiles(
    news: list[Seen | Taken], bounds: Bounds, data: st.DataObject
) -> None:
    at_once, bit_by_bit = World(bounds), World(bounds)
    at_once.receive(*news)
    repeats = data.draw(st.lists(st.sampled_from(news), max_size=3)) if news else []
    arrival = data.draw(st.permutations([*news, *repeats]))
    believed = dict[object, object]()

    while arrival:
        size = data.draw(st.integers(1, len(arrival)))
        for move in bit_by_bit.receive(*arrival[:size]).moved:
            assert believed[move.identity_id] == move.source != move.target
        believed |= {row.id: row.profile_id for row in bit_by_bit.rows.values()}
        arrival = arrival[size:]

    assert bit_by_bit.owners(EVERYBODY) == at_once.owners(EVERYBODY)


@given(_news(), _joins | _splits | _matches, _bounds, st.data())
def test_taking_a_decision_back_restores_everybody(
    news: list[Seen | Taken], decision: Taken, bounds: Bounds, data: st.DataObject
) -> None:
    without, taken_back = World(bounds), World(bounds)
    without.receive(*(it for it in news if it != decision))
    split = data.draw(st.integers(0, len(news)))

    taken_back.receive(*news[:split])
    taken_back.receive(decision)
    taken_back.receive(*news[split:])
    taken_back.receive(decided("unmerge", 9, undoes=decision))

    assert taken_back.owners(EVERYBODY) == without.owners(EVERYBODY)


@given(_news(), _bounds)
def test_nobody_has_more_devices_than_they_may_have_but_by_decision(
    news: list[Seen | Taken], bounds: Bounds
) -> None:
    world = World(bounds)
    world.receive(*news)
    most = bounds.limits.get(ANONYMOUS_ID, len(EVERYBODY))
    found = groups(world.decisions.values(), world.rows, bounds)

    for one in (ADA, BOB, CYD):
        mine = [it for it in (PHONE, LAPTOP) if world.owner(it) == world.owner(one)]
        decided_about = set(found.group(own(one)))
        assert len(mine) <= most or {own(it) for it in mine} <= decided_about


@given(_news(), st.sampled_from(EVERYBODY))
def test_whoever_was_split_off_last_stands_alone_and_the_others_stay_together(
    news: list[Seen | Taken], one: Key
) -> None:
    world, others = World(), [it for it in EVERYBODY if it != one]
    world.receive(*news)
    before = world.owners(EVERYBODY)

    world.receive(decided("split", 9, one))
    after = world.owners(EVERYBODY)

    assert [it for it in EVERYBODY if after[it] == after[one]] == [one] or _follows(world, one)
    for each in others:
        for other in others:
            if after[each] == after[other] and not _linked(world, each, other):
                assert before[each] == before[other]


def test_a_device_whose_merged_user_is_split_off_follows_its_link_again() -> None:
    world = World()
    world.receive(seen(0, "m0", by="ada", on="phone"))
    world.receive(decided("merge", 1, BOB, PHONE))
    merged = world.owners([ADA, BOB, PHONE])

    world.receive(decided("split", 2, BOB))

    assert merged == {ADA: own(ADA), BOB: own(BOB), PHONE: own(BOB)}
    assert world.owners([ADA, BOB, PHONE]) == {ADA: own(ADA), BOB: own(BOB), PHONE: own(ADA)}


def test_whoever_is_one_with_a_device_goes_where_its_link_leads_after_a_split() -> None:
    world = World()
    world.receive(seen(0, "m0", by="ada", on="phone"))
    world.receive(decided("merge", 1, CYD, PHONE), decided("merge", 2, CYD, LAPTOP))

    world.receive(decided("split", 3, CYD))

    assert world.owner(PHONE) == world.owner(LAPTOP) == own(ADA)


def _linked(world: World, each: Key, other: Key) -> bool:
    """Tell whether one of the two goes where a link of its own, or of one with it, leads."""
    found = groups(world.decisions.values(), world.rows)
    one_with = [row for key in (each, other) for row in found.group(own(key))]
    rows = [row for it in one_with if (row := world.rows.get(it)) is not None]
    return any(
        it.link is not None and world.rows[it.link.user].profile_id == it.profile_id for it in rows
    )


def _follows(world: World, one: Key) -> bool:
    """Tell whether others belong to somebody by links alone: those are their devices."""
    return any(row.link is not None and row.link.user == own(one) for row in world.rows.values())
