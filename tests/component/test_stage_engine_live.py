"""The live stream: nothing is missed or told twice, the slow are cut off, endings are said."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from clm_common.clock import SystemClock
from clm_common.contracts.ids import profile_id
from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.instant import HOUR, SECOND
from clm_common.runtime.listener import listen
from clm_common.runtime.tokens import Verifier
from clm_stage_engine.api import make_app
from clm_stage_engine.listening import Event, Wish
from clm_stage_engine.live import Hub
from clm_stage_engine.queries.facts import read_place
from tests.support.asking import Client, client_of
from tests.support.engine import NOW, Engine
from tests.support.touchpoints import touchpoint

ORDER = "Order Completed"
EVERYTHING = Wish("local")
BEGINNING = dict.fromkeys(range(TOUCHPOINTS.partitions), 0)


@asynccontextmanager
async def running(hub: Hub) -> AsyncGenerator[asyncio.Event]:
    """Run a hub; give what tells it to stop."""
    stop = asyncio.Event()
    task = asyncio.create_task(hub.run(stop))
    yield stop
    stop.set()
    await task


@pytest.fixture
async def hub(engine: Engine) -> AsyncGenerator[Hub]:
    made = Hub(engine.database, SystemClock(), heartbeat=0.3)
    async with running(made):
        yield made


async def buy(engine: Engine, *users: str) -> None:
    await engine.send(*(touchpoint(NOW - HOUR, user=user, event=ORDER) for user in users))
    await engine.settled()


async def heard(stream: AsyncGenerator[Event], count: int) -> list[Event]:
    """Wait for so many events that say something."""
    found: list[Event] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            event = await anext(stream)
            if event.name is not None:
                found.append(event)
    return found


def what(events: list[Event]) -> list[tuple[str, str]]:
    """Tell whom changes are about and where they went."""
    read = [json.loads(it.data or "") for it in events]
    return sorted((it["user_id"], it["target"]) for it in read)


async def test_a_listener_hears_what_happens_from_now_on(engine: Engine, hub: Hub) -> None:
    await buy(engine, "before")

    async with aclosing(hub.follow(EVERYTHING, None)) as stream:
        await anext(stream)
        listening = asyncio.create_task(heard(stream, 2))
        await asyncio.sleep(0.5)
        await buy(engine, "u")
        events = await listening

    assert what(events) == [("u", "conversion"), ("u", "reach")]


async def test_who_resumes_from_any_place_hears_the_rest_once(engine: Engine, hub: Hub) -> None:
    await buy(engine, "a", "b", "c", "d")
    async with aclosing(hub.follow(EVERYTHING, BEGINNING)) as stream:
        whole = await heard(stream, 8)

    assert what(whole) == sorted((u, s) for u in "abcd" for s in ("conversion", "reach"))
    for cut in range(len(whole) - 1):
        after = read_place(whole[cut].place)
        async with aclosing(hub.follow(EVERYTHING, after)) as stream:
            assert await heard(stream, len(whole) - cut - 1) == whole[cut + 1 :]


async def test_what_happens_while_one_catches_up_follows_without_a_gap(
    engine: Engine, hub: Hub
) -> None:
    users = [f"u{n}" for n in range(40)]
    await buy(engine, *users)
    async with aclosing(hub.follow(EVERYTHING, BEGINNING)) as stream:
        first = await heard(stream, 10)
        await buy(engine, "late")
        rest = await heard(stream, 2 * len(users) + 2 - 10)

    everybody = [*users, "late"]
    assert what(first + rest) == sorted((u, s) for u in everybody for s in ("conversion", "reach"))


async def test_a_listener_hears_only_the_stage_and_workspace_it_asked_for(
    engine: Engine, hub: Hub
) -> None:
    await engine.send(
        touchpoint(NOW - HOUR, user="u", event=ORDER),
        touchpoint(NOW - HOUR, user="other", event=ORDER, workspace="other"),
        touchpoint(NOW - HOUR, user="v", kind="page"),
        touchpoint(NOW - SECOND, user="u", event=ORDER),
    )
    await engine.settled()

    async with aclosing(hub.follow(Wish("local", stage="conversion"), BEGINNING)) as stream:
        events = await heard(stream, 2)

    assert what(events) == [("u", "conversion"), ("u", "retention")]


async def test_a_profile_s_listener_hears_its_merge_and_its_touchpoints_if_asked(
    engine: Engine, hub: Hub
) -> None:
    now = SystemClock().now()
    user = profile_id("local", "user_id", "u")
    await engine.send(touchpoint(now - HOUR, anonymous="a", kind="page"))
    await engine.settled()
    await engine.send(
        touchpoint(now - SECOND, anonymous="a", user="u", kind="identify"),
        touchpoint(now - SECOND, user="v", kind="page"),
    )
    await engine.settled()

    async with aclosing(hub.follow(Wish("local", user, touchpoints=True), BEGINNING)) as stream:
        loud = await heard(stream, 4)
    async with aclosing(hub.follow(Wish("local", user), BEGINNING)) as stream:
        quiet = await heard(stream, 3)

    assert sorted(it.name or "" for it in loud) == [
        "identity_moved",
        "stage_changed",
        "stage_changed",
        "touchpoint",
    ]
    assert [it.name for it in quiet].count("touchpoint") == 0
    moved = next(json.loads(it.data or "") for it in quiet if it.name == "identity_moved")
    assert (moved["to_profile"], moved["emptied"]) == (str(user), True)


async def test_who_reads_too_slowly_is_cut_off_and_can_resume_where_it_stopped(
    engine: Engine,
) -> None:
    hub = Hub(engine.database, SystemClock(), room=3, heartbeat=0.2)
    async with running(hub):
        stream = hub.follow(EVERYTHING, None)
        await anext(stream)
        await anext(stream)
        await buy(engine, "a", "b", "c", "d")
        await asyncio.sleep(1)
        events = [it async for it in stream]
        async with aclosing(hub.follow(EVERYTHING, read_place(events[-1].place))) as again:
            missed = await heard(again, 8 - len(events) + 1)

    assert (events[-1].name, json.loads(events[-1].data or "")) == ("end", {"reason": "too_slow"})
    assert what([*events[:-1], *missed]) == sorted(
        (u, s) for u in "abcd" for s in ("conversion", "reach")
    )


async def test_a_silent_stream_shows_that_it_lives_and_where_it_stands(
    engine: Engine, hub: Hub
) -> None:
    await buy(engine, "a")

    async with aclosing(hub.follow(Wish("nobody"), None)) as stream:
        beats = [await anext(stream) for _ in range(3)]

    assert {it.name for it in beats} == {None}
    assert all(read_place(it.place) for it in beats)


async def alone(hub: Hub) -> None:
    """Wait until nobody listens any more."""
    async with asyncio.timeout(10):
        while hub.listening:  # noqa: ASYNC110 - the server's doing
            await asyncio.sleep(0.01)


class Browser:
    """Follows a stream over a real connection, as a browser does."""

    def __init__(self, lines: AsyncGenerator[str]) -> None:
        self._lines = lines
        self.last_id = ""

    async def event(self) -> tuple[str, dict[str, Any]]:
        """Wait for the next event that says something."""
        name, data = "", ""
        async with asyncio.timeout(20):
            async for line in self._lines:
                field, _, value = line.partition(": ")
                if field == "id":
                    self.last_id = value
                elif field == "event":
                    name = value
                elif field == "data":
                    data = value
                elif not line and data:
                    return name, json.loads(data)
        raise AssertionError("the stream ended")


@asynccontextmanager
async def browsing(url: str, client: Client, last_id: str | None = None) -> AsyncGenerator[Browser]:
    headers = client.headers() | ({"last-event-id": last_id} if last_id else {})
    async with httpx.AsyncClient() as http, http.stream("GET", url, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        async with aclosing(answer.aiter_lines()) as lines:  # type: ignore[type-var] # a generator
            yield Browser(lines)  # type: ignore[arg-type] # as above


async def test_over_http_a_stream_resumes_by_its_last_id_and_ends_with_the_process(
    engine: Engine,
) -> None:
    hub = Hub(engine.database, SystemClock())
    apps: list[FastAPI] = []

    def make(verifier: Verifier) -> FastAPI:
        apps.append(
            make_app(
                engine.database,
                verifier,
                SystemClock(),
                engine.board,
                hub,
                producer=engine.producer,
            )
        )
        return apps[0]

    client = client_of(make, scope="profiles:read")
    server = listen(apps[0], "127.0.0.1", 0, 5.0)
    async with server.running() as port, running(hub) as stop:
        url = f"http://127.0.0.1:{port}/v1/stream"
        async with browsing(url, client) as browser:
            await asyncio.sleep(0.5)
            await buy(engine, "u")
            first = await browser.event()
            last_id = browser.last_id
        await alone(hub)
        async with browsing(url, client, last_id) as browser:
            second = await browser.event()
            stop.set()
            end = await browser.event()

    assert {it[1]["target"] for it in (first, second)} == {"reach", "conversion"}
    assert end == ("end", {"reason": "stopping"})


async def test_whoever_may_not_listen_is_refused_before_the_stream_begins(
    engine: Engine, hub: Hub
) -> None:
    client = client_of(
        lambda verifier: make_app(
            engine.database, verifier, SystemClock(), engine.board, hub, producer=engine.producer
        ),
        scope="profiles:read",
    )

    assert (await client.get("/v1/stream", scope="metrics:read")).status_code == 403
    refused = await client.get("/v1/stream", last_event_id="nonsense")
    assert (refused.status_code, refused.json()["slug"]) == (400, "stream.place_invalid")
    unknown = await client.refusal(f"/v1/profiles/{profile_id('local', 'user_id', 'x')}/stream")
    assert unknown[:2] == (404, "profile.unknown")
    hub.close()
    assert (await client.refusal("/v1/stream"))[:2] == (503, "stream.stopping")


async def test_who_comes_back_to_another_process_goes_on_there(engine: Engine, hub: Hub) -> None:
    user = Wish("local", profile_id("local", "user_id", "a"))
    async with aclosing(hub.follow(user, BEGINNING)) as stream:
        await buy(engine, "a", "b")
        first = await heard(stream, 1)

    other = Hub(engine.database, SystemClock(), heartbeat=0.3)
    async with running(other), aclosing(other.follow(user, read_place(first[-1].place))) as stream:
        second = await heard(stream, 1)
        await engine.send(touchpoint(NOW - SECOND, user="a", event=ORDER))
        third = await heard(stream, 1)

    assert what([*first, *second, *third]) == [
        ("a", "conversion"),
        ("a", "reach"),
        ("a", "retention"),
    ]
