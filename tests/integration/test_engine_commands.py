"""`clm lifecycle`, `clm profile` and `clm webhook`, as somebody types them, on a running engine."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from clm_common.runtime.tokens import generate_key_pair
from tests.support.desk import ORDER, OWN, Desk, Servers
from tests.support.endpoints import Endpoint, Reply, endpoint
from tests.support.ingest import until
from tests.support.terminal import Terminal

UUID: Final = r"[0-9a-f]{8}-[0-9a-f-]{27}"

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]


@pytest.fixture
def desk(servers: Servers, tmp_path: Path) -> Desk:
    return Desk(servers, tmp_path / "data")


async def test_a_lifecycle_is_started_and_stopped_and_says_how_many_were_folded(
    desk: Desk,
) -> None:
    await desk.peopled()

    started = await desk.clm("lifecycle", "start", "shop", "--note", "we sell now")
    both = await desk.person("user_id:ada")
    stopped = await desk.clm("lifecycle", "stop", "shop")
    alone = await desk.person("user_id:ada")

    assert "shop runs beside the main lifecycle." in started
    assert "2 people were folded again." in started
    assert {key: it["stage"] for key, it in both["lifecycles"].items()} == {
        "reach": "retention",
        "shop": "buyer",
    }
    assert "shop is stopped; its stage changes are taken back." in stopped
    assert list(alone["lifecycles"]) == ["reach"]


async def test_a_lifecycle_of_ones_own_is_published_beside_changed_and_rolled_back(
    desk: Desk, tmp_path: Path
) -> None:
    await desk.peopled()
    first, second = tmp_path / "own.yaml", tmp_path / "again.yaml"
    first.write_text(OWN)
    second.write_text(OWN.replace("nth: 3", "nth: 2"))

    refused = await desk.clm("lifecycle", "publish", str(first), code=1)
    beside = await desk.clm("lifecycle", "publish", str(first), "--beside", "--note", "ours")
    await desk.clm("lifecycle", "publish", str(second), "--no-wait", "--note", "regulars")
    back = await desk.clm("lifecycle", "publish", "1", "--lifecycle", "own")
    rolled = await desk.clm("lifecycle", "rollback", "--lifecycle", "own")
    listed = await desk.clm("lifecycle", "history", "--lifecycle", "own")
    main = await desk.clm("lifecycle", "history")

    assert "`beside` starts it" in refused
    assert "Version 1 of own decides about everybody." in beside
    assert "Version 1 of own decides about everybody." in back
    assert "Version 2 of own decides about everybody." in rolled
    assert [it in listed for it in ("ours", "regulars", "rollback")] == [True] * 3
    assert "reach is decided by its file" in main
    found = await desk.person("user_id:ada")
    assert found["lifecycles"]["own"]["stage"] == "retention"


async def test_what_cannot_run_beside_is_said_in_a_sentence(desk: Desk) -> None:
    main = await desk.clm("lifecycle", "stop", "reach", code=1)
    started = await desk.clm("lifecycle", "start", "reach", code=1)
    never = await desk.clm("lifecycle", "stop", "shop", code=1)
    unknown = await desk.clm("lifecycle", "start", "nope", code=1)
    nowhere = await desk.clm("lifecycle", "publish", "7", "--lifecycle", "nope", code=1)
    missing = await desk.clm("lifecycle", "publish", "nope.yaml", code=1)

    assert "main" in main
    assert "reach is the main lifecycle and runs already" in started
    assert "shop" in never
    assert "nope" in unknown
    assert "nope" in nowhere
    assert "nope.yaml is neither a version's number nor a readable file" in missing


async def test_a_person_is_shown_with_where_they_stand_and_what_they_did_lately(desk: Desk) -> None:
    await desk.peopled()

    shown = await desk.clm("profile", "show", "anonymous_id:laptop", "--newest", "2")
    told = json.loads(await desk.clm("profile", "show", "ada", "--json"))

    head, *_, newest, before = shown.splitlines()
    assert head == "user_id:ada anonymous_id:laptop"
    assert re.search(r"retention in reach since \d{4}-\d\d-\d\d \d\d:\d\d", shown)
    assert "3 touchpoints" in shown
    assert newest > before
    assert ORDER in newest
    assert [it["event"] or it["type"] for it in told["touchpoints"]] == [ORDER, ORDER, "identify"]
    assert told["profile"]["lifecycles"]["reach"]["stage"] == "retention"


async def test_people_are_merged_listed_and_restored(desk: Desk) -> None:
    await desk.peopled()

    merged = await desk.clm("profile", "merge", "ada", "bob", "--reason", "she called")
    await desk.becomes("user_id:ada", 5)
    listed = await desk.clm("profile", "merges", "ada")
    (decision,) = json.loads(await desk.clm("profile", "merges", "bob", "--json"))
    again = await desk.clm("profile", "merge", "ada", "bob", "--reason", "she called", code=1)
    shown = re.search(UUID, merged)
    await desk.clm("profile", "unmerge", "ada", decision["id"], "--reason", "her sister")
    await desk.becomes("user_id:bob", 2)
    twice = await desk.clm(
        "profile", "unmerge", "ada", decision["id"], "--reason", "her sister", code=1
    )

    assert "bob is one person with ada now." in merged
    assert shown is not None
    assert shown[0] == decision["id"]
    assert "merge: user_id:ada, user_id:bob" in listed
    assert "she called" in listed
    assert "taken back" in await desk.clm("profile", "merges", "ada")
    assert "one person already" in again
    assert "taken back already" in twice


async def test_a_device_is_split_off(desk: Desk) -> None:
    await desk.peopled()
    split = ("profile", "split", "bob")

    other = await desk.clm(*split, "anonymous_id:laptop", "--reason", "a till", code=1)
    done = await desk.clm(*split, "anonymous_id:phone", "--reason", "a till")

    async def is_alone() -> bool:
        found = await desk.person("user_id:bob")
        return bool(found["anonymous_ids"] == [])

    await until(is_alone)
    assert "anonymous_id:laptop is none of this person's" in other
    assert "anonymous_id:phone has a profile of its own now." in done
    alone = await desk.clm(*split, "user_id:bob", "--reason", "why not", code=1)
    assert "has a profile of its own already" in alone


async def test_a_person_is_erased_only_when_that_is_meant_and_the_receipt_says_how_far(
    desk: Desk,
) -> None:
    await desk.peopled()
    erase = ("profile", "erase", "ada", "--reason", "by letter")

    declined = await desk.clm(*erase, code=1, typed="n\n")
    there = await desk.person("user_id:ada")
    begun = await desk.clm(*erase, "--yes", "--wait", "0", code=75)
    await desk.becomes("user_id:ada", None)
    found = re.search(UUID, begun)
    assert found is not None
    receipt = json.loads(await desk.clm("profile", "receipt", found[0], "--json"))
    again = await desk.clm(*erase, "--yes", code=1)
    strange = await desk.clm("profile", "receipt", str(uuid.uuid4()), code=1)

    assert "Erase everything of ada, for ever?" in declined
    assert there["touchpoints"] == 3
    assert f"clm profile receipt {found[0]}" in begun
    assert {it["service"] for it in receipt["stores"]} == {"stage-engine", "metrics", "engagement"}
    assert "Nobody is known as user_id:ada." in again
    assert "refuses" in strange
    assert (await desk.person("user_id:bob"))["touchpoints"] == 2


async def test_nothing_is_done_where_an_identifier_is_nobody_s(desk: Desk) -> None:
    await desk.send(desk.order("ada", 1))
    await desk.becomes("user_id:ada", 1)
    why = "--reason", "x"

    refused = [
        await desk.clm("profile", *command, code=1)
        for command in [
            ("merge", "nobody", "ada", *why),
            ("merge", "ada", "nobody", *why),
            ("unmerge", "nobody", str(uuid.UUID(int=1)), *why),
            ("split", "nobody", "anonymous_id:phone", *why),
        ]
    ]

    assert all("Nobody is known as user_id:nobody." in it for it in refused)


async def test_an_identifier_that_several_share_names_nobody(desk: Desk) -> None:
    await desk.peopled()

    refused = await desk.clm(
        *("profile", "erase", "email:home@example.com", "--reason", "x", "--yes"), code=1
    )

    assert "2 people are known as email:home@example.com" in refused
    assert {"ada", "bob"} <= set(re.findall(r"\w+", refused))
    assert await desk.person("user_id:ada")


@pytest_asyncio.fixture(loop_scope="module")
async def shop() -> AsyncGenerator[Endpoint]:
    """Run an endpoint that webhooks are posted to."""
    async with endpoint() as made:
        yield made


def secret_of(output: str) -> str:
    (line,) = [it for it in output.splitlines() if it.startswith("secret")]
    return line.split()[1]


async def test_a_webhook_is_made_tried_out_and_shows_what_it_delivered(
    desk: Desk, shop: Endpoint
) -> None:
    empty = await desk.clm("webhook", "list")
    made = await desk.clm("webhook", "create", "crm", shop.url, "--to", "conversion")
    again = await desk.clm("webhook", "create", "crm", shop.url, code=1)
    nothing = await desk.clm("webhook", "deliveries", "crm")
    tried = await desk.clm("webhook", "test", "crm")
    await desk.peopled()
    await shop.received(3)

    async def are_listed() -> bool:
        return (await desk.clm("webhook", "deliveries", "crm")).count("delivered") == 2

    await until(are_listed)
    listed = await desk.clm("webhook", "list")

    assert "clm webhook create" in empty
    assert secret_of(made).startswith("whsec_")
    assert secret_of(made) not in listed
    assert shop.url in listed
    assert "crm" in again
    assert "Nothing was to be delivered yet." in nothing
    assert "It was taken: HTTP 204." in tried
    targets = {json.loads(it.body)["data"].get("target") for it in shop.posts[1:]}
    assert targets == {"conversion"}


async def test_a_disabled_webhook_waits_and_dead_deliveries_are_tried_anew(
    desk: Desk, shop: Endpoint
) -> None:
    shop.reply = lambda _: Reply(status=410)
    await desk.clm("webhook", "create", "crm", shop.url, "--to", "conversion")
    refused = await desk.clm("webhook", "test", "crm", code=1)
    kept = await desk.clm("webhook", "disable", "crm", code=1, typed="n\n")
    await desk.clm("webhook", "disable", "crm", "--yes")
    disabled = await desk.clm("webhook", "list")
    await desk.peopled()
    shop.reply = lambda _: Reply()
    posts = len(shop.posts)

    enabled = await desk.clm("webhook", "enable", "crm")
    await shop.received(posts + 2)
    replayed = await desk.clm("webhook", "replay", "crm")

    assert "410" in refused
    assert "Add --yes to go ahead." in kept
    assert "disabled" in disabled
    assert posts == 1
    assert "goes on where it stopped" in enabled
    assert "0 dead deliveries are tried anew." in replayed


async def test_a_webhook_s_secret_is_replaced_and_shown_once(desk: Desk, shop: Endpoint) -> None:
    old = secret_of(await desk.clm("webhook", "create", "crm", shop.url))

    new = secret_of(await desk.clm("webhook", "rotate", "crm", "--grace", "0"))
    await desk.clm("webhook", "test", "crm")

    assert new != old
    (post,) = shop.posts
    assert len(post.headers["webhook-signature"].split()) == 1


async def test_what_a_webhook_cannot_be_is_said_in_a_sentence(desk: Desk) -> None:
    unknown = [
        await desk.clm("webhook", *command, code=1)
        for command in [("test", "nope"), ("deliveries", "nope"), ("enable", "nope")]
    ]
    address = await desk.clm("webhook", "create", "crm", "ftp://example.com", code=1)

    assert all("nope" in it for it in unknown)
    assert "url" in address


async def test_where_nothing_runs_a_command_says_how_to_start_it(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    nothing = Terminal(tmp_path / "none")

    for command in [
        ("lifecycle", "start", "shop"),
        ("profile", "merge", "ada", "bob", "--reason", "x"),
        ("webhook", "list"),
    ]:
        assert "Nothing runs. Start it with `clm up`." in nothing.clm(*command, code=1)


async def test_a_token_of_another_installation_is_told_apart_from_a_wrong_command(
    servers: Servers, tmp_path: Path
) -> None:
    other = servers.terminal(tmp_path / "other", "local", generate_key_pair())

    refused = await asyncio.to_thread(other.clm, "webhook", "list", code=1)

    assert "stage-engine refuses: " in refused
    assert "token" in refused
