"""To whom a touchpoint belongs: a function of the set of touchpoints."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from clm_common.contracts import ids
from clm_stage_engine.core.identity import (
    IdentityRow,
    Key,
    Link,
    Moved,
    Resolution,
    keys,
    resolve,
)
from tests.support.identities import Seen, device, own, seen, user


class Table:
    """The identity rows as a database keeps them, with its compare-and-set."""

    def __init__(self) -> None:
        self.rows: dict[Key, IdentityRow] = {}
        self.touchpoints: dict[str, UUID] = {}

    def receive(self, *batch: Seen) -> Resolution:
        """Resolve a batch and store what it says."""
        known = {key: self.rows[key] for key in keys(batch) if key in self.rows}
        found = resolve(batch, known, ids.profile_id)
        for write in found.writes:
            key = (write.row.workspace, write.row.kind, write.row.value)
            assert self.rows.get(key) == write.expected
            self.rows[key] = write.row
        for sighting, owner in zip(batch, found.owners, strict=True):
            self.touchpoints[sighting.message_id] = owner.id
        return found

    def owner(self, message: str) -> UUID:
        """Give the profile of a touchpoint, by the map from identity to profile."""
        by_id = {row.id: row.profile_id for row in self.rows.values()}
        return by_id[self.touchpoints[message]]


def test_a_user_is_their_own_profile() -> None:
    table = Table()

    found = table.receive(seen(1, "m1", by="ada"))

    assert table.owner("m1") == own(user("ada"))
    assert [(it.row.value, it.expected) for it in found.writes] == [("ada", None)]
    assert found.moved == []


def test_an_unknown_device_is_its_own_profile() -> None:
    table = Table()

    table.receive(seen(1, "m1", on="phone"))

    assert table.owner("m1") == own(device("phone"))


def test_a_link_gives_the_device_s_earlier_and_later_touchpoints_to_the_user() -> None:
    table = Table()
    table.receive(seen(1, "m1", on="phone"))

    found = table.receive(seen(2, "m2", on="phone", by="ada"))
    table.receive(seen(3, "m3", on="phone"))

    ada, phone = own(user("ada")), own(device("phone"))
    assert [table.owner(it) for it in ("m1", "m2", "m3")] == [ada, ada, ada]
    assert found.moved == [Moved(phone, phone, ada, 2, 1)]


def test_a_device_that_is_first_seen_with_its_user_moves_nowhere() -> None:
    table = Table()

    found = table.receive(seen(1, "m1", on="phone"), seen(2, "m2", on="phone", by="ada"))

    assert found.moved == []
    assert [owner.profile_id for owner in found.owners] == [own(user("ada"))] * 2
    assert {write.expected for write in found.writes} == {None}


def test_a_touchpoint_of_another_user_on_the_same_device_is_that_user_s() -> None:
    table = Table()

    table.receive(seen(1, "m1", on="phone", by="ada"), seen(2, "m2", on="phone", by="bob"))
    table.receive(seen(3, "m3", on="phone"))

    assert table.owner("m2") == own(user("bob"))
    assert table.owner("m3") == own(user("ada"))


def test_an_earlier_link_that_comes_late_flips_the_device_to_another_user() -> None:
    table = Table()
    table.receive(seen(1, "m1", on="phone"), seen(5, "m5", on="phone", by="ada"))

    found = table.receive(seen(3, "m3", on="phone", by="bob"))

    ada, bob, phone = own(user("ada")), own(user("bob")), own(device("phone"))
    assert found.moved == [Moved(phone, ada, bob, 3, 1)]
    assert (table.owner("m1"), table.owner("m5"), table.owner("m3")) == (bob, ada, bob)


def test_earlier_evidence_for_the_same_user_is_kept_and_moves_nobody() -> None:
    table = Table()
    table.receive(seen(5, "m5", on="phone", by="ada"))

    found = table.receive(seen(3, "m3", on="phone", by="ada"))

    assert found.moved == []
    assert table.rows[device("phone")].link == Link(3, "m3", own(user("ada")))
    assert [(it.row.value, it.expected is None) for it in found.writes] == [("phone", False)]


def test_later_evidence_and_repeats_write_nothing() -> None:
    table = Table()
    table.receive(seen(1, "m1", on="phone", by="ada"))

    found = table.receive(seen(1, "m1", on="phone", by="ada"), seen(2, "m2", on="phone", by="ada"))

    assert found.writes == []
    assert found.moved == []


def test_links_at_one_instant_are_told_apart_by_message_id() -> None:
    table = Table()

    table.receive(seen(1, "m2", on="phone", by="ada"))
    table.receive(seen(1, "m1", on="phone", by="bob"))

    assert table.rows[device("phone")].profile_id == own(user("bob"))


def test_the_last_of_several_flips_in_one_batch_is_the_only_one_that_moves() -> None:
    table = Table()
    table.receive(seen(9, "m9", on="phone"))

    found = table.receive(
        seen(5, "m5", on="phone", by="ada"),
        seen(3, "m3", on="phone", by="bob"),
        seen(4, "m4", on="phone", by="cyd"),
    )

    assert [(it.source, it.target) for it in found.moved] == [
        (own(device("phone")), own(user("bob")))
    ]


def test_workspaces_do_not_share_identities() -> None:
    table = Table()
    elsewhere = Seen(1, "m1", ("other", ids.USER_ID, "ada"), ("other", ids.ANONYMOUS_ID, "phone"))

    table.receive(elsewhere, seen(2, "m2", on="phone"))

    assert table.owner("m2") == own(device("phone"))


def test_a_device_follows_its_user_s_profile_where_that_was_merged_into_another() -> None:
    table = Table()
    table.receive(seen(1, "m1", by="ada"))
    row, merged = table.rows[user("ada")], own(user("ada@example.com"))
    table.rows[user("ada")] = IdentityRow(row.id, row.workspace, row.kind, row.value, merged)

    table.receive(seen(2, "m2", on="phone", by="ada"))

    assert table.rows[device("phone")].profile_id == merged


_names = st.sampled_from(["ada", "bob", "cyd", None])
_devices = st.sampled_from(["phone", "laptop", None])
_drawn = st.lists(
    st.tuples(st.integers(0, 6), _names, _devices).filter(lambda it: bool(it[1] or it[2])),
    min_size=1,
    max_size=14,
)


@given(_drawn, st.data())
def test_any_order_batching_and_repeats_give_everything_to_the_same_profiles(
    drawn: list[tuple[int, str | None, str | None]], data: st.DataObject
) -> None:
    sightings = [seen(at, f"m{n:02}", by=by, on=on) for n, (at, by, on) in enumerate(drawn)]
    repeats = data.draw(st.lists(st.sampled_from(sightings), max_size=4))
    arrival = data.draw(st.permutations([*sightings, *repeats]))
    table = Table()
    believed: dict[UUID, UUID] = {}

    while arrival:
        size = data.draw(st.integers(1, len(arrival)))
        found = table.receive(*arrival[:size])
        for move in found.moved:
            assert believed[move.identity_id] == move.source != move.target
        believed |= {row.id: row.profile_id for row in table.rows.values()}
        moved = {move.identity_id: move.target for move in found.moved}
        assert all(believed[identity] == target for identity, target in moved.items())
        arrival = arrival[size:]

    assert {it.message_id: table.owner(it.message_id) for it in sightings} == _owners(sightings)


def _owners(sightings: list[Seen]) -> dict[str, UUID]:
    """Say it as the rule says it, over the whole set."""
    owners: dict[str, UUID] = {}
    for it in sightings:
        links = sorted(
            (other.time, other.message_id, other.user)
            for other in sightings
            if other.user is not None and other.anonymous == it.anonymous is not None
        )
        if it.user is not None:
            owners[it.message_id] = own(it.user)
        elif it.anonymous is not None:
            owners[it.message_id] = own(links[0][2] if links else it.anonymous)
    return owners
