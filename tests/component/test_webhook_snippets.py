"""The snippets for receivers of webhooks, run as they stand on what was really posted."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec.structs import replace

from clm_common.clock import SystemClock
from clm_common.instant import HOUR
from clm_common.store.vault import Vault
from clm_stage_engine.api import make_app
from clm_stage_engine.api.parts import Outgoing
from clm_stage_engine.courier import Courier
from clm_stage_engine.live import Hub
from clm_stage_engine.posting import Poster
from clm_stage_engine.store.webhooks import PURPOSE, Webhooks
from tests.support import node
from tests.support.asking import client_of
from tests.support.endpoints import Post, endpoint
from tests.support.engine import NOW, Engine
from tests.support.snippets import WEBHOOKS, Snippet, installed, snippets
from tests.support.touchpoints import touchpoint

PACKAGES: Final = node.ROOT / "tests" / "node" / "webhooks"
CLOCK: Final = SystemClock()
CALLS: Final = {
    "python": "\nimport json\nprint(json.dumps(receive(BODY, HEADERS)))\n",
    "js": "\nconsole.log(JSON.stringify(receive(BODY, HEADERS)));\n",
}
"""What a receiver's server does with a request, for each language."""

Posted = tuple[str, Post]
"""The subscription's secret, and what came."""


@pytest.fixture
async def posted(engine: Engine) -> AsyncGenerator[Posted]:
    """Subscribe as the document says, and let a customer buy."""
    webhooks, stop = (
        Webhooks(Vault(PURPOSE, [b"a random text of 32 letters, yes"])),
        asyncio.Event(),
    )
    async with Poster(CLOCK, http=True, private=True) as poster, endpoint() as place:
        client = client_of(
            lambda verifier: make_app(
                engine.database,
                verifier,
                CLOCK,
                engine.board,
                Hub(engine.database, CLOCK),
                producer=engine.producer,
                outgoing=Outgoing(webhooks, poster),
            ),
            scope="webhooks:write",
        )
        (body,) = [json.loads(it.code) for it in snippets(WEBHOOKS) if it.language == "json"]
        made = await client.post("/v1/webhooks", body | {"url": place.url})
        assert made.status_code == 201, made.text
        await engine.send(touchpoint(NOW - HOUR, user="ada", event="Order Completed"))
        await engine.settled()
        courier = asyncio.create_task(Courier(engine.database, CLOCK, webhooks, poster).run(stop))
        (post,) = await place.received(1)
        yield made.json()["secret"], post
        stop.set()
        await courier


def receive(snippet: Snippet, secret: str, post: Post, folder: Path) -> tuple[int, Any]:
    """Hand a request to a snippet; gives the exit code and what it made of it."""
    code = snippet.code + CALLS[snippet.language]
    values = {"BODY": post.body.decode(), "HEADERS": dict(post.headers)}
    for name, value in values.items():
        code = code.replace(name, json.dumps(value))
    if snippet.language == "python":
        command = [sys.executable, "-c", code]
    else:
        (folder / "node_modules").unlink(missing_ok=True)
        (folder / "node_modules").symlink_to(node.install(PACKAGES) / "node_modules")
        (folder / "snippet.mjs").write_text(code)
        command = [str(node.NODE), str(folder / "snippet.mjs")]
    told = os.environ | {"WEBHOOK_SECRET": secret}
    done = subprocess.run(
        command, env=told, capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, json.loads(done.stdout) if done.returncode == 0 else done.stderr


async def test_a_snippet_takes_what_was_posted_and_refuses_what_was_changed(
    posted: Posted, tmp_path: Path
) -> None:
    secret, post = posted
    forged = replace(post, body=post.body.replace(b"conversion", b"loyalty"))
    receivers = [it for it in snippets(WEBHOOKS) if it.language in CALLS]

    assert [it.language for it in receivers] == ["python", "js"]
    for it in receivers:
        code, change = await asyncio.to_thread(receive, it, secret, post, tmp_path)
        refused, why = await asyncio.to_thread(receive, it, secret, forged, tmp_path)
        assert code == 0, change
        assert (change["user_id"], change["target"]) == ("ada", "conversion")
        assert change == json.loads(post.body)["data"]
        assert refused == 1
        assert "WebhookVerificationError" in why


def test_what_receivers_are_told_to_install_is_what_is_tested() -> None:
    pinned = json.loads((PACKAGES / "package.json").read_text())["dependencies"]

    assert installed(WEBHOOKS) == {("pip", "standardwebhooks"), ("npm", "standardwebhooks")}
    assert set(pinned) == {"standardwebhooks"}
