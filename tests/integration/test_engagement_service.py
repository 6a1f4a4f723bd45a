"""Engagement as a process: a real river in, real mails out, whatever happens to the process."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from clm_common.bus.ports import Message
from clm_common.contracts.journey import JourneyMessage
from clm_common.contracts.topics import JOURNEY
from clm_common.instant import DAY, MINUTE
from tests.support.engagement import device, entered, identified, known, moved, taken_back
from tests.support.engagement_process import Shop, engagement, shop
from tests.support.processes import until_owning
from tests.support.smtp import Mailbox, mailbox

TOLD = {"CLM_MAIL_TIMEOUT": "3s", "CLM_LEASE_SECONDS": "2"}


@pytest.fixture
async def box() -> AsyncGenerator[Mailbox]:
    async with mailbox() as opened:
        yield opened


@pytest.fixture
async def acme(kafka_bootstrap: str, engagement_url: str, box: Mailbox) -> AsyncGenerator[Shop]:
    async with shop(kafka_bootstrap, engagement_url, box.url, **TOLD) as opened:
        yield opened


def arrivals(acme: Shop, *names: str, ago: int = MINUTE) -> list[JourneyMessage]:
    """Give the facts of people who become known: an address, and the stage they enter."""
    at, facts = time.time_ns() // 1000 - ago, list[JourneyMessage]()
    for name in names:
        who = known(name, workspace=acme.workspace)
        facts += [
            identified(
                who,
                user_id=name,
                message_id=name,
                at=at,
                workspace=acme.workspace,
                email=address(acme, name),
                firstName=name.title(),
            ),
            entered(who, user_id=name, at=at, workspace=acme.workspace),
        ]
    return facts


def address(acme: Shop, name: str) -> str:
    return f"{name}@{acme.workspace}.example.com"


def recipients(acme: Shop, box: Mailbox) -> list[str]:
    """Give the workspace's recipients; the river is shared with other tests."""
    return [each for each in box.recipients if acme.workspace in each]


def handed_over(acme: Shop, box: Mailbox) -> Counter[str]:
    """Count by recipient what the mail server was handed, whether it answered or not."""
    return Counter(str(mail["To"]) for mail in box.seen if acme.workspace in str(mail["To"]))


async def test_the_river_becomes_mails_and_the_mails_touchpoints(acme: Shop, box: Mailbox) -> None:
    async with engagement(acme) as running:
        await acme.publish(*arrivals(acme, "ann", "bob"), *arrivals(acme, "old", ago=3 * DAY))

        sent = await running.until("sent", 2)
        (skipped,) = await running.until("skipped", 1)
        async with asyncio.timeout(20):
            while len(events := await acme.touchpoints()) < 2:  # noqa: ASYNC110 - it is polled
                await asyncio.sleep(0.2)
        counts = await running.http.get("/v1/journeys", headers=acme.token())
        assert await running.stop() == 0

    assert sorted(recipients(acme, box)) == [address(acme, "ann"), address(acme, "bob")]
    assert skipped["reason"] == "historical"
    assert {(it["userId"], it["event"]) for it in events} == {
        ("ann", "Message Sent"),
        ("bob", "Message Sent"),
    }
    assert {it["properties"]["message_id"] for it in events} == {it["id"] for it in sent}
    assert counts.json()["journeys"][0]["steps"][0]["messages"] == {
        "planned": 3,
        "pending": 0,
        "sent": 2,
        "skipped": {"historical": 1},
        "failed": {},
        "unknown": {},
    }
    mail = next(each for each in box.mails if each["To"] == address(acme, "ann"))
    assert mail["Subject"] == "Welcome, Ann!"


async def test_a_visitor_who_becomes_known_is_welcomed_once(acme: Shop, box: Mailbox) -> None:
    phone = device("phone", workspace=acme.workspace)
    ann = known("ann", workspace=acme.workspace)
    at = time.time_ns() // 1000 - MINUTE
    early = entered(phone, at=at, workspace=acme.workspace)
    call = identified(
        phone, anonymous_id="phone", at=at, workspace=acme.workspace, email=address(acme, "phone")
    )
    async with engagement(acme) as running:
        await acme.publish(call, early)
        await running.until("sent", 1)

        moves = [
            moved(phone, phone, ann, at=at, river=each, workspace=acme.workspace)
            for each in (phone, ann)
        ]
        await acme.publish(*moves, taken_back(early), *arrivals(acme, "ann"))
        (skipped,) = await running.until("skipped", 1)
        found = await running.messages(profile_id=str(ann))

    assert skipped["reason"] == "repeated"
    assert recipients(acme, box) == [address(acme, "phone")]
    assert Counter(it["state"] for it in found) == {"sent": 1, "skipped": 1}


async def test_a_record_that_is_no_fact_goes_to_the_dead_letters_and_the_river_goes_on(
    acme: Shop, box: Mailbox
) -> None:
    broken = b'{"kind": "stage_changed", "workspace": "%s"' % acme.workspace.encode()
    async with engagement(acme) as running:
        facts = arrivals(acme, "ann")
        key = str(facts[0].profile_id).encode()
        await acme.publish_raw(Message(JOURNEY.name, key, broken))
        await acme.publish(*facts)

        await running.until("sent", 1)

    letters = [it for it in await acme.dead_letters() if b"journey.invalid" in it]
    assert letters
    assert recipients(acme, box) == [address(acme, "ann")]


async def test_one_click_unsubscribes_and_looking_does_not(
    acme: Shop, box: Mailbox, engagement_url: str
) -> None:
    async with engagement(acme) as running, connected(engagement_url) as db:
        await acme.publish(*arrivals(acme, "ann"))
        await running.until("sent", 1)
        mail = next(each for each in box.mails if each["To"] == address(acme, "ann"))
        path = urlsplit(str(mail["List-Unsubscribe"])[1:-1]).path
        count = "SELECT count(*) FROM engagement.suppression WHERE workspace = $1"

        pages = [await running.http.request(method, path) for method in ("GET", "GET", "HEAD")]
        before = await db.fetchval(count, acme.workspace)
        forged = await running.http.post(path[:-3] + "AAA")
        untouched = await db.fetchval(count, acme.workspace)
        done = await running.http.post(path, content="List-Unsubscribe=One-Click")
        after = await db.fetchval(count, acme.workspace)
        again = await running.http.post(path)

    assert pages[0].status_code == 200
    assert '<form method="post">' in pages[0].text
    assert "ann" not in pages[0].text.replace("cannot", "")
    assert (done.status_code, again.status_code, forged.status_code) == (200, 200, 404)
    assert (before, untouched, after) == (0, 0, 1)


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[Any]:  # Any: asyncpg publishes no types
    db = await asyncpg.connect(url)
    try:
        yield db
    finally:
        await db.close()


async def test_the_api_shows_a_workspace_its_own_messages_only(acme: Shop) -> None:
    async with engagement(acme) as running:
        await acme.publish(*arrivals(acme, "ann"))
        await running.until("sent", 1)
        other = acme.token("engagement:read", workspace="other")

        nobody = await running.http.get("/v1/messages")
        wrong = await running.http.get("/v1/messages", headers=acme.token("metrics:read"))
        foreign = await running.http.get("/v1/messages", headers=other)
        counts = await running.http.get("/v1/journeys", headers=other)
        odd = await running.http.get("/v1/messages", params={"cursor": "!"}, headers=acme.token())
        bad = await running.http.get("/v1/messages", params={"state": "x"}, headers=acme.token())

    assert (nobody.status_code, wrong.status_code) == (401, 403)
    assert foreign.json() == {"messages": [], "next": None}
    assert counts.json()["journeys"][0]["steps"][0]["messages"]["planned"] == 0
    assert (odd.status_code, odd.json()["slug"]) == (422, "cursor.invalid")
    assert (bad.status_code, bad.headers["content-type"]) == (422, "application/problem+json")


async def test_pages_give_every_message_once(acme: Shop) -> None:
    names = [f"u{number}" for number in range(120)]
    async with engagement(acme) as running:
        await acme.publish(*arrivals(acme, *names, ago=3 * DAY))
        found = await running.until("skipped", 120)

    assert len({it["id"] for it in found}) == 120


@pytest.mark.chaos
async def test_a_process_killed_while_a_mail_is_handed_over_leaves_it_unknown(
    acme: Shop, box: Mailbox
) -> None:
    box.delay = 1.0
    await acme.publish(*arrivals(acme, "ann"))
    async with engagement(acme) as running:
        async with asyncio.timeout(30):
            while not handed_over(acme, box):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.01)
        running.kill()
        await running.process.wait()

    async with engagement(acme) as running:
        (found,) = await running.until("unknown", 1)
        await asyncio.sleep(2)

    assert found["reason"] == "interrupted"
    assert handed_over(acme, box) == {address(acme, "ann"): 1}


@pytest.mark.chaos
async def test_a_storm_of_kills_sends_nobody_two_mails_and_forgets_nobody(
    acme: Shop, box: Mailbox
) -> None:
    names = [f"u{number}" for number in range(60)]
    box.delay = 0.1
    await acme.publish(*arrivals(acme, *names))
    chance = random.Random(7)
    for _ in range(6):
        async with engagement(acme, ready=False) as running:
            await until_owning(str(running.http.base_url))
            await asyncio.sleep(chance.uniform(0.1, 0.6))
            running.kill()
            await running.process.wait()

    box.delay = 0.0
    async with engagement(acme) as running, asyncio.timeout(90):
        found = await running.messages()
        while len(found) < 60 or any(it["state"] == "pending" for it in found):
            await asyncio.sleep(0.1)
            found = await running.messages()

    states = Counter(it["state"] for it in found)
    sent = {it["id"] for it in found if it["state"] == "sent"}
    arrived = {str(m["Message-ID"])[1:].partition("@")[0] for m in box.mails}
    assert len(found) == 60
    assert states["sent"] + states["unknown"] == 60
    assert max(handed_over(acme, box).values()) == 1, "nobody gets two"
    assert sent <= arrived, "whoever counts as reached was reached"
    assert states["unknown"] <= 6 * 4, "only what was under way is unknown"
