"""Engagement's rows on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clm_common.instant import DAY, HOUR, from_datetime
from clm_engagement.core.contact import Contact, address_hash
from clm_engagement.core.keyed import Keyed
from clm_engagement.core.permit import Candidate, Send, hashes_of, permit
from clm_engagement.store import aftermath, queue
from clm_engagement.store.plans import load_planned
from tests.support.engagement import (
    NOW,
    WINDOW,
    WORKSPACE,
    PlainMemory,
    device,
    email_of,
    entered,
    identified,
    known,
    moved,
    taken_back,
)
from tests.support.engagement_rivers import deliveries, rivers
from tests.support.engagement_world import World, world

ANN, PHONE = known("ann"), device("phone")
STEPS = {("welcome", "welcome")}
PLAIN = Keyed()
OLD, NEW = b"o" * 32, b"n" * 32


@pytest.fixture
async def engagement(engagement_url: str, tmp_path: Path) -> AsyncGenerator[World]:
    async with world(engagement_url, tmp_path) as opened:
        yield opened


async def claimed(
    engagement: World, *, room: int = 10, now: int = NOW, keyed: Keyed = PLAIN
) -> list[Candidate]:
    """Claim what is due, as the delivery does, and give what may be sent."""
    async with engagement.database.transaction() as tx:
        due = await queue.load_due(tx, {"email"}, STEPS, now=now, limit=2 * room)
        hashes = hashes_of(due, email_of)
        memory = await queue.load_memory(tx, {it.person for it in due}, hashes, keyed)
        verdicts = permit(due, memory, email_of, room=room, now=now, window=WINDOW)
        await queue.save_verdicts(tx, verdicts, now=now, lease=60, keyed=keyed)
    return [it.candidate for it in verdicts if isinstance(it, Send)]


async def welcome(engagement: World, name: str = "ann", email: str = "ann@example.com") -> None:
    """Have somebody with an address enter the stage."""
    await engagement.take(
        identified(known(name), user_id=name, message_id=name, email=email, firstName="Ann"),
        entered(known(name), user_id=name),
    )


async def table(engagement: World, columns: str, name: str) -> set[tuple[object, ...]]:
    async with engagement.database.connection() as db:
        return {tuple(row) for row in await db.fetch(f"SELECT {columns} FROM {name}")}  # noqa: S608 - the test's own names


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
async def test_rows_remember_and_plan_as_the_core_does_in_any_order(
    engagement: World, data: st.DataObject
) -> None:
    await engagement.execute("TRUNCATE identity, trait, stage_entry, message")
    river = data.draw(rivers())
    plain = PlainMemory()

    for batch in data.draw(deliveries(river)):
        await engagement.take(*batch)
    plain.take(river)

    facts = plain.facts
    async with engagement.database.transaction() as tx:
        messages = await load_planned(tx, {it.profile for it in plain.messages.values()})
    assert messages == plain.messages
    assert await table(engagement, "id, profile_id", "identity") == {
        (it.id, it.owner) for it in facts.identities.values()
    }
    assert await table(engagement, "identity_id, field, value", "trait") == {
        (it.identity, it.field, it.value) for it in facts.traits.values()
    }
    assert await table(engagement, "id, version, retracted", "stage_entry") == {
        (it.id, it.version, it.retracted) for it in facts.entries.values()
    }


async def test_a_person_is_addressed_by_the_newest_traits_of_all_their_identities(
    engagement: World,
) -> None:
    await engagement.take(
        identified(
            PHONE, anonymous_id="phone", at=NOW - 2 * HOUR, email="old@example.com", firstName="A"
        ),
        identified(ANN, user_id="ann", at=NOW - HOUR, message_id="m-2", email="new@example.com"),
        moved(PHONE, PHONE, ANN),
        entered(ANN, user_id="ann"),
    )

    (candidate,) = await claimed(engagement)

    assert candidate.contact == Contact(email="new@example.com", first_name="A")
    assert candidate.person == ANN


async def test_a_visitor_welcomed_before_we_knew_them_is_not_welcomed_again(
    engagement: World,
) -> None:
    await engagement.take(
        identified(PHONE, anonymous_id="phone", email="phone@example.com"), entered(PHONE)
    )
    (first,) = await claimed(engagement)
    await settle_sent(engagement, first)

    await engagement.take(
        moved(PHONE, PHONE, ANN, river=PHONE),
        taken_back(entered(PHONE)),
        moved(PHONE, PHONE, ANN, river=ANN),
        entered(ANN, user_id="ann"),
        identified(ANN, user_id="ann", message_id="m-2", email="ann@example.com"),
    )

    assert await claimed(engagement) == []
    assert await engagement.fates() == {("sent", None): 1, ("skipped", "repeated"): 1}
    sent = next(row for row in await engagement.rows() if row["state"] == "sent")
    assert (sent["profile_id"], sent["person_id"]) == (PHONE, ANN)


async def test_two_devices_that_were_both_welcomed_may_become_one_person(
    engagement: World,
) -> None:
    phones = [device("one"), device("two")]
    for number, phone in enumerate(phones):
        await engagement.take(
            identified(phone, anonymous_id=["one", "two"][number], email=f"{number}@example.com"),
            entered(phone),
        )
    for candidate in await claimed(engagement):
        await settle_sent(engagement, candidate)

    async with asyncio.timeout(10):
        await engagement.take(*(moved(phone, phone, ANN) for phone in phones))
        await engagement.take(entered(ANN, user_id="ann"))

    assert await claimed(engagement) == []
    assert await engagement.fates() == {("sent", None): 2, ("skipped", "repeated"): 1}


async def settle_sent(engagement: World, candidate: Candidate) -> None:
    async with engagement.database.connection() as db:
        assert await queue.settle(
            db, candidate.id, candidate.attempts + 1, state="sent", reason=None, code=None, now=NOW
        )


async def test_two_customers_with_one_address_get_one_mail(engagement: World) -> None:
    await welcome(engagement, "ann", "same@example.com")
    await welcome(engagement, "bob", "SAME@example.com")

    assert len(await claimed(engagement)) == 1
    assert await engagement.fates() == {("sending", None): 1, ("skipped", "repeated"): 1}


async def test_the_database_itself_refuses_a_second_mail_to_a_person_or_an_address(
    engagement: World,
) -> None:
    await welcome(engagement, "ann", "a@example.com")
    await welcome(engagement, "bob", "b@example.com")
    await claimed(engagement)

    with pytest.raises(asyncpg.UniqueViolationError, match="message_person"):
        await engagement.execute("UPDATE message SET person_id = $1", ANN)
    with pytest.raises(asyncpg.UniqueViolationError, match="message_address"):
        await engagement.execute("UPDATE message SET address_hash = $1", b"same")


async def test_a_message_is_claimed_once_by_however_many(engagement: World) -> None:
    for number in range(40):
        await welcome(engagement, f"u{number}", f"u{number}@example.com")

    rounds = await asyncio.gather(*(claimed(engagement, room=4) for _ in range(8)))
    taken = [it.id for each in rounds for it in each]
    while found := await claimed(engagement):
        taken += [it.id for it in found]

    assert len(taken) == len(set(taken))
    assert await engagement.fates() == {("sending", None): 40}


async def test_without_an_address_it_waits_until_there_is_one(engagement: World) -> None:
    await engagement.take(entered(ANN, user_id="ann"))
    assert await claimed(engagement) == []
    waiting = await engagement.row()
    assert (waiting["state"], waiting["waits_for"]) == ("pending", "no_address")
    assert from_datetime(waiting["due_at"]) > NOW

    await engagement.take(identified(ANN, user_id="ann", email="ann@example.com"))

    assert len(await claimed(engagement)) == 1


async def test_an_address_known_to_a_device_wakes_its_owners_message(engagement: World) -> None:
    await engagement.take(
        entered(ANN, user_id="ann"), identified(PHONE, anonymous_id="phone", email="a@example.com")
    )
    assert await claimed(engagement) == []

    await engagement.take(moved(PHONE, PHONE, ANN))

    assert len(await claimed(engagement)) == 1


async def test_waiting_ends_with_the_live_window(engagement: World) -> None:
    await engagement.take(entered(ANN, user_id="ann"))
    await claimed(engagement)

    await claimed(engagement, now=NOW + 2 * DAY)

    assert await engagement.fates() == {("skipped", "no_address"): 1}


async def test_a_claim_and_a_late_address_cannot_miss_each_other(engagement: World) -> None:
    await engagement.take(entered(ANN, user_id="ann"))

    async with engagement.database.transaction() as tx:
        due = await queue.load_due(tx, {"email"}, STEPS, now=NOW, limit=5)
        told = asyncio.create_task(
            engagement.take(identified(ANN, user_id="ann", email="ann@example.com"))
        )
        await asyncio.sleep(0.2)
        assert not told.done(), "the news must wait for the claim"
        verdicts = permit(
            due,
            await queue.load_memory(tx, (), (), PLAIN),
            email_of,
            room=1,
            now=NOW,
            window=WINDOW,
        )
        await queue.save_verdicts(tx, verdicts, now=NOW, lease=60, keyed=PLAIN)
    await told

    assert len(await claimed(engagement)) == 1


async def test_whoever_unsubscribes_after_it_was_planned_gets_nothing(engagement: World) -> None:
    await welcome(engagement, "ann", "ann@example.com")
    (first,) = await claimed(engagement)
    async with engagement.database.transaction() as tx:
        assert await aftermath.suppress(tx, first.id, reason="unsubscribed", now=NOW)
        await queue.postpone(tx, first.id, 1, code="smtp.451", due=NOW, tried=True)

    assert await claimed(engagement) == []
    assert await engagement.fates() == {("skipped", "suppressed"): 1}


@pytest.mark.parametrize("before", [PLAIN, Keyed([OLD]), Keyed([NEW, OLD])])
async def test_who_unsubscribed_stays_known_when_hashes_get_a_key_or_another_one(
    engagement: World, before: Keyed
) -> None:
    await welcome(engagement, "ann", "ann@example.com")
    (first,) = await claimed(engagement, keyed=before)
    async with engagement.database.transaction() as tx:
        assert await aftermath.suppress(tx, first.id, reason="unsubscribed", now=NOW)
        await queue.postpone(tx, first.id, 1, code="smtp.451", due=NOW, tried=True)
    async with engagement.database.connection() as db:
        kept = await db.fetchval("SELECT address_hash FROM suppression")

    assert await claimed(engagement, keyed=Keyed([NEW, OLD])) == []
    assert await engagement.fates() == {("skipped", "suppressed"): 1}
    assert kept == before.kept(address_hash(WORKSPACE, "ann@example.com"))


@pytest.mark.parametrize("before", [PLAIN, Keyed([OLD])])
async def test_an_address_is_written_to_once_though_its_hash_got_a_key_meanwhile(
    engagement: World, before: Keyed
) -> None:
    await welcome(engagement, "ann", "both@example.com")
    assert len(await claimed(engagement, keyed=before)) == 1
    await welcome(engagement, "bob", "both@example.com")

    assert await claimed(engagement, keyed=Keyed([NEW, OLD])) == []
    assert ("skipped", "repeated") in await engagement.fates()


async def test_whoever_unsubscribed_before_they_were_merged_gets_nothing_at_their_other_address(
    engagement: World,
) -> None:
    await welcome(engagement, "ann", "ann@old.example")
    (first,) = await claimed(engagement)
    async with engagement.database.transaction() as tx:
        assert await aftermath.suppress(tx, first.id, reason="unsubscribed", now=NOW)
        await queue.postpone(tx, first.id, 1, code="smtp.451", due=NOW, tried=True)
    bob = known("bob")

    await engagement.take(
        moved(ANN, ANN, bob, moves=1),
        identified(bob, user_id="bob", message_id="m-3", email="bob@example.com"),
        entered(bob, user_id="bob"),
    )

    assert await claimed(engagement) == []
    assert await engagement.fates() == {("skipped", "suppressed"): 2}


async def test_a_merged_person_gets_no_second_mail_and_each_their_own_after_they_were_parted(
    engagement: World,
) -> None:
    bob = known("bob")
    await welcome(engagement, "ann", "ann@example.com")
    assert len(await claimed(engagement)) == 1
    await engagement.take(
        moved(ANN, ANN, bob, moves=1),
        identified(bob, user_id="bob", message_id="m-3", email="bob@example.com"),
        entered(bob, user_id="bob", cause="c-1"),
    )
    assert await claimed(engagement) == []

    await engagement.take(
        moved(ANN, bob, ANN, moves=2),
        identified(known("cyd"), user_id="cyd", message_id="m-4", email="cyd@example.com"),
        entered(known("cyd"), user_id="cyd", cause="c-2"),
    )

    assert {it.person for it in await claimed(engagement)} == {known("cyd")}
    assert await engagement.fates() == {("sending", None): 2, ("skipped", "repeated"): 1}


async def test_an_attempt_that_nobody_ended_is_unknown_and_never_made_again(
    engagement: World,
) -> None:
    await welcome(engagement)
    (first,) = await claimed(engagement)
    await engagement.execute("UPDATE message SET lease_until = clock_timestamp() - interval '1s'")

    async with engagement.database.connection() as db:
        assert await queue.give_up_lost(db) == 1
        assert await queue.give_up_lost(db) == 0

    assert await engagement.fates() == {("unknown", "interrupted"): 1}
    assert await claimed(engagement, now=NOW + HOUR) == []
    await settle_sent(engagement, first)
    assert await engagement.fates() == {("sent", None): 1}


async def test_the_result_of_an_older_attempt_changes_nothing(engagement: World) -> None:
    await welcome(engagement)
    (first,) = await claimed(engagement)
    async with engagement.database.connection() as db:
        assert await queue.postpone(db, first.id, 1, code="smtp.451", due=NOW, tried=True)
        (second,) = await claimed(engagement)
        assert second.attempts == 1

        assert not await queue.settle(
            db, first.id, 1, state="failed", reason="recipient", code="550", now=NOW
        )

    assert await engagement.fates() == {("sending", None): 1}


async def test_a_try_that_never_got_as_far_does_not_count(engagement: World) -> None:
    await welcome(engagement)
    (first,) = await claimed(engagement)

    async with engagement.database.connection() as db:
        await queue.postpone(db, first.id, 1, code="smtp.away", due=NOW, tried=False)

    (again,) = await claimed(engagement)
    assert again.attempts == 0


async def test_what_is_settled_stays_settled_whatever_the_river_says(engagement: World) -> None:
    await welcome(engagement)
    (first,) = await claimed(engagement)
    await settle_sent(engagement, first)

    await engagement.take(taken_back(entered(ANN, user_id="ann")))

    assert await engagement.fates() == {("sent", None): 1}


async def test_a_planned_message_of_a_dropped_journey_expires(engagement: World) -> None:
    await welcome(engagement)
    async with engagement.database.connection() as db:
        assert await queue.expire_undefined(db, set(), live_since=NOW - WINDOW) == 0
        assert await queue.expire_undefined(db, set(), live_since=NOW) == 1

    assert await engagement.fates() == {("skipped", "undefined"): 1}


async def test_no_row_leaves_its_reason_open(engagement: World) -> None:
    await welcome(engagement)

    with pytest.raises(asyncpg.CheckViolationError):
        await engagement.execute("UPDATE message SET state = 'failed', due_at = NULL")
