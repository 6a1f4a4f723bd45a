"""Delivery from a real PostgreSQL to a real SMTP server, and all that goes wrong between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from clm_common.instant import DAY, HOUR
from clm_engagement.core.unsubscribe import verify
from tests.support.engagement import KEY, NOW, entered, identified, known, taken_back
from tests.support.engagement_world import World, delivering, mailing, touchpoints, until, world
from tests.support.smtp import HANG_UP, Mailbox, mailbox


@pytest.fixture
async def engagement(engagement_url: str, tmp_path: Path) -> AsyncGenerator[World]:
    async with world(engagement_url, tmp_path) as opened:
        yield opened


@pytest.fixture
async def box() -> AsyncGenerator[Mailbox]:
    async with mailbox() as opened:
        yield opened


async def welcome(engagement: World, *names: str, at: int = NOW - HOUR) -> None:
    """Have people with addresses enter the stage."""
    for name in names:
        who = known(name)
        await engagement.take(
            identified(who, user_id=name, message_id=name, email=f"{name}@example.com"),
            entered(who, user_id=name, at=at),
        )


async def test_whoever_enters_the_stage_gets_one_mail(engagement: World, box: Mailbox) -> None:
    await welcome(engagement, *"abcdefgh")

    async with mailing(box) as senders, delivering(engagement, senders):
        await until(engagement, *[("sent", None)] * 8)

    assert sorted(box.recipients) == [f"{name}@example.com" for name in "abcdefgh"]
    assert box.connections <= 4
    rows = {f"<{row['id']}@example.com>" for row in await engagement.rows()}
    assert {mail["Message-ID"] for mail in box.mails} == rows


async def test_the_link_in_a_mail_is_of_its_message(engagement: World, box: Mailbox) -> None:
    await welcome(engagement, "ann")

    async with mailing(box) as senders, delivering(engagement, senders):
        await until(engagement, ("sent", None))

    link = str(box.mails[0]["List-Unsubscribe"])[1:-1]
    assert link.startswith("https://shop.example.com/mail/u/")
    assert verify(link.rpartition("/")[2], [KEY]) == (await engagement.row())["id"]
    assert link in str(box.mails[0])


async def test_a_mail_that_is_put_off_comes_later_and_is_the_same_message(
    engagement: World, box: Mailbox
) -> None:
    await welcome(engagement, "ann")
    box.to_data.append("451 try later")

    async with mailing(box) as senders, delivering(engagement, senders):
        await seen(box, 1)
        await until(engagement, ("pending", None))
        assert (await engagement.row())["attempts"] == 1
        assert box.mails == []
        engagement.clock.set(NOW + HOUR)
        await until(engagement, ("sent", None))

    assert box.seen[0]["Message-ID"] == box.seen[1]["Message-ID"]
    assert (await engagement.row())["attempts"] == 2


async def seen(box: Mailbox, count: int) -> None:
    """Wait until the server was handed so many mails, taken or not."""
    async with asyncio.timeout(20):
        while len(box.seen) < count:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.02)


async def test_a_refusal_is_final_and_classed(engagement: World, box: Mailbox) -> None:
    await welcome(engagement, "ann")
    box.to_rcpt.append("550 5.1.1 no such user")

    async with mailing(box) as senders, delivering(engagement, senders):
        await until(engagement, ("failed", "recipient"))

    assert (await engagement.row())["code"] == "550"


async def test_a_lost_answer_is_unknown_and_never_sent_again(
    engagement: World, box: Mailbox
) -> None:
    await welcome(engagement, "ann")
    box.to_data.append(HANG_UP)

    async with mailing(box) as senders, delivering(engagement, senders):
        await until(engagement, ("unknown", "answer_lost"))
        engagement.clock.set(NOW + DAY)
        await asyncio.sleep(1.5)

    assert len(box.seen) == 1


async def test_a_mail_server_that_is_away_costs_nothing_but_time(
    engagement: World, box: Mailbox
) -> None:
    await welcome(engagement, "ann")
    nowhere = SecretStr("smtp://127.0.0.1:1?starttls=never")

    async with mailing(box, smtp_url=nowhere) as senders, delivering(engagement, senders):
        await asyncio.sleep(1.0)
    untouched = await engagement.row()
    async with mailing(box) as senders, delivering(engagement, senders):
        await until(engagement, ("sent", None))

    assert (untouched["state"], untouched["attempts"]) == ("pending", 0)


async def test_a_stage_taken_back_in_time_means_no_mail(engagement: World, box: Mailbox) -> None:
    await welcome(engagement, "ann")
    await engagement.take(taken_back(entered(known("ann"), user_id="ann")))

    async with mailing(box) as senders, delivering(engagement, senders):
        await until(engagement, ("skipped", "retracted"))

    assert box.seen == []


async def test_history_moves_nobody_to_write(engagement: World, box: Mailbox) -> None:
    await welcome(engagement, "ann", at=NOW - 3 * DAY)

    async with mailing(box) as senders, delivering(engagement, senders):
        await asyncio.sleep(0.7)

    assert await engagement.fates() == {("skipped", "historical"): 1}
    assert box.seen == []


async def test_several_processes_send_each_mail_once(engagement: World, box: Mailbox) -> None:
    names = [f"u{number}" for number in range(60)]
    await welcome(engagement, *names)

    async with (
        mailing(box) as one,
        mailing(box) as two,
        delivering(engagement, one),
        delivering(engagement, two),
    ):
        await until(engagement, *[("sent", None)] * 60)

    assert sorted(box.recipients) == sorted(f"{name}@example.com" for name in names)


async def test_a_mail_under_way_is_finished_before_the_process_ends(
    engagement: World, box: Mailbox
) -> None:
    await welcome(engagement, "ann")
    box.delay = 1.0

    async with mailing(box) as senders, delivering(engagement, senders):
        await seen(box, 1)

    assert await engagement.fates() == {("sent", None): 1}


async def test_a_sent_mail_is_told_to_everybody_once(engagement: World, box: Mailbox) -> None:
    await welcome(engagement, "ann")
    async with mailing(box) as senders, delivering(engagement, senders):
        await until(engagement, ("sent", None))

    assert await engagement.reports.report() == 1
    assert await engagement.reports.report() == 0

    (event,) = touchpoints(engagement)
    row = await engagement.row()
    assert (event["event"], event["userId"]) == ("Message Sent", "ann")
    assert event["properties"]["message_id"] == str(row["id"])
    assert row["reported_at"] is not None


async def test_a_report_that_kafka_did_not_take_is_made_later_with_the_same_id(
    engagement: World, box: Mailbox
) -> None:
    await welcome(engagement, "ann")
    async with mailing(box) as senders, delivering(engagement, senders):
        await until(engagement, ("sent", None))
    engagement.broker.away = True
    stop = asyncio.Event()
    running = asyncio.create_task(engagement.reports.run(stop))
    await asyncio.sleep(0.3)
    assert (await engagement.row())["reported_at"] is None

    engagement.broker.away = False
    async with asyncio.timeout(10):
        while not list(touchpoints(engagement)):  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.05)
    stop.set()
    await running

    await engagement.execute("UPDATE message SET reported_at = NULL")
    await engagement.reports.report()
    assert len({event["messageId"] for event in touchpoints(engagement)}) == 1


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
async def test_whatever_the_server_answers_every_message_has_one_fate(
    engagement: World, box: Mailbox, data: st.DataObject
) -> None:
    answers = ["250 OK", "451 later", "554 5.6.0 no", "550 5.1.1 who", HANG_UP]
    script = st.lists(st.sampled_from(answers), max_size=8)
    await engagement.execute("TRUNCATE identity, trait, stage_entry, message, suppression")
    engagement.clock.set(NOW)
    box.mails.clear()
    box.seen.clear()
    await welcome(engagement, *"abcdef")
    box.to_data.extend(data.draw(script))
    box.to_rcpt.extend(each for each in data.draw(script) if each != HANG_UP)

    async with mailing(box) as senders, delivering(engagement, senders, at_once=2):
        async with asyncio.timeout(30):
            while unsettled(await engagement.rows()):
                await asyncio.sleep(0.05)
                engagement.clock.set(engagement.clock.now() + HOUR)
    box.to_data.clear()
    box.to_rcpt.clear()

    rows = await engagement.rows()
    assert len(rows) == 6
    assert sorted(box.recipients) == sorted(set(box.recipients)), "nobody gets two"
    sent = {f"<{row['id']}@example.com>" for row in rows if row["state"] == "sent"}
    assert sent == {mail["Message-ID"] for mail in box.mails}


def unsettled(rows: list[dict[str, object]]) -> bool:
    return any(row["state"] in {"pending", "sending"} for row in rows)
