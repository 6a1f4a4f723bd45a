"""`clm hook`, as somebody types it, on a running ingest with PostgreSQL and Kafka."""

import json
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import msgspec
import pytest
import pytest_asyncio

from clm_common.contracts.topics import TOUCHPOINTS
from clm_common.runtime.tokens import KeyPair, generate_key_pair
from clm_ingest.core.signatures import Scheme
from tests.support.ingest import IngestProcess, create_ingest_topics, ingest, records_of, until
from tests.support.installation import Installation
from tests.support.servers import DatabaseServer
from tests.support.signing import SECRETS, signed

MAPPING = """\
key: crm-calls
id: headers."x-call" || body.call
touchpoints:
  - {when: body.call, event: Call Ended, userId: body.who, timestamp: body.at}
"""
CALL = json.dumps({"call": "c-1", "who": "u-1", "at": "2026-11-22T09:00:00Z"})
NOBODY = json.dumps({"call": "c-2", "at": "2026-11-22T09:00:00Z"})

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(
    kafka_bootstrap: str, database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[tuple[IngestProcess, KeyPair]]:
    folder = tmp_path_factory.mktemp("mappings")
    (folder / "crm-calls.yaml").write_text(MAPPING)
    environment = {
        "CLM_SECRETS_KEY": "a random text that is long enough",
        "CLM_INGEST_HOOK_DIR": str(folder),
    }
    await create_ingest_topics(kafka_bootstrap)
    url, signer = await database_server.create(), generate_key_pair()
    async with ingest(kafka_bootstrap, url, signer=signer, environment=environment) as running:
        await running.until_ready()
        yield running, signer
    await database_server.drop(url)


@pytest.fixture
def shop(started: tuple[IngestProcess, KeyPair]) -> IngestProcess:
    started[0].renew_workspace()
    return started[0]


def shown(output: str, name: str) -> str:
    """Give what a command printed under a name."""
    (line,) = [it for it in output.splitlines() if it.startswith(name)]
    return line.split()[-1]


def column(listed: str, hook: str) -> list[str]:
    """Give the line of a hook in `clm hook list`, in words."""
    (line,) = [it for it in listed.splitlines() if it.startswith(hook)]
    return line.split()


async def post(address: str, secret: str, scheme: Scheme, body: str = CALL) -> int:
    headers = signed(scheme, secret, body.encode(), at=int(time.time()))
    async with httpx.AsyncClient() as http:
        return (await http.post(address, content=body, headers=headers)).status_code


async def answers(status: int, address: str, secret: str, scheme: Scheme) -> None:
    """Wait until a hook answers so: a change is seen within two seconds."""

    async def so() -> bool:
        return await post(address, secret, scheme) == status

    assert await until(so, seconds=10) < 3


async def test_a_hook_is_made_and_the_address_and_the_secret_that_are_shown_work(
    own: Installation, shop: IngestProcess, kafka_bootstrap: str
) -> None:
    create = ("hook", "create", "calls", "--mapping", "crm-calls")
    made = own.clm(*create, "--scheme", "standard-webhooks")
    address, secret = shown(made, "address"), shown(made, "secret")

    await answers(200, address, secret, "standard-webhooks")
    listed = own.clm("hook", "list")

    records = await records_of(kafka_bootstrap, TOUCHPOINTS, shop.workspace)
    assert address.startswith(f"{shop.url}/v1/hooks/")
    assert {json.loads(it.value or b"")["event"] for it in records} == {"Call Ended"}
    assert secret not in listed
    assert column(listed, "calls")[2:] == ["crm-calls", "standard-webhooks"]
    assert "calls" in own.clm("source", "list"), "a source of the same name is made"


async def test_a_hook_waits_for_its_senders_secret_which_is_read_from_standard_input(
    own: Installation,
) -> None:
    create = ("hook", "create", "payments", "--mapping", "crm-calls", "--scheme", "stripe")
    made = own.clm(*create)
    address = shown(made, "address")
    waiting = own.clm("hook", "list")
    refused = own.clm("hook", "rotate", "payments", code=1)

    rotated = own.clm("hook", "rotate", "payments", "--secret", "-", typed=SECRETS["stripe"] + "\n")
    await answers(200, address, SECRETS["stripe"], "stripe")

    assert "secret" not in [it.split()[0] for it in made.splitlines() if it.strip()]
    assert "no secret yet" in waiting
    assert "secret" in refused
    assert SECRETS["stripe"] not in rotated
    assert "no secret yet" not in own.clm("hook", "list")


async def test_a_new_secret_with_a_grace_of_nothing_turns_the_old_one_away(
    own: Installation,
) -> None:
    create = ("hook", "create", "code", "--mapping", "crm-calls", "--scheme", "github")
    made = own.clm(*create)
    address, old = shown(made, "address"), shown(made, "secret")
    await answers(200, address, old, "github")

    new = shown(own.clm("hook", "rotate", "code", "--grace", "0"), "secret")

    await answers(401, address, old, "github")
    assert await post(address, new, "github") == 200


async def test_a_disabled_hook_refuses_until_it_is_enabled(own: Installation) -> None:
    create = ("hook", "create", "shop", "--mapping", "crm-calls", "--scheme", "shopify")
    secret = {"CLM_HOOK_SECRET": SECRETS["shopify"]}
    address = shown(own.clm(*create, env=secret), "address")
    await answers(200, address, SECRETS["shopify"], "shopify")

    declined = own.clm("hook", "disable", "shop", code=1, typed="n\n")
    asked = await post(address, SECRETS["shopify"], "shopify")
    own.clm("hook", "disable", "shop", "--yes")
    await answers(403, address, SECRETS["shopify"], "shopify")
    disabled = own.clm("hook", "list")
    own.clm("hook", "enable", "shop")
    await answers(200, address, SECRETS["shopify"], "shopify")

    assert asked == 200, declined
    assert column(disabled, "shop")[-1] == "disabled"
    assert column(own.clm("hook", "list"), "shop")[-1] == "shopify"


async def test_a_body_is_tried_out_from_a_file_and_from_standard_input(
    own: Installation, shop: IngestProcess, kafka_bootstrap: str, tmp_path: Path
) -> None:
    create = ("hook", "create", "calls", "--mapping", "crm-calls", "--scheme", "write-key")
    own.clm(*create)
    file = tmp_path / "call.json"
    file.write_text(CALL)

    (from_file,) = msgspec.json.decode(own.clm("hook", "test", "calls", str(file)))
    header = ("-H", "X-Call: c-of-the-header")
    (from_stdin,) = msgspec.json.decode(own.clm("hook", "test", "calls", "-", *header, typed=CALL))
    refused = own.clm("hook", "test", "calls", "-", typed=NOBODY, code=1)
    ignored = own.clm("hook", "test", "calls", "-", typed="{}", code=None)
    missing = own.clm("hook", "test", "calls", str(tmp_path / "no.json"), code=1)

    assert (from_file["event"], from_file["userId"]) == ("Call Ended", "u-1")
    assert from_file["messageId"].endswith("-c-1-0")
    assert from_stdin["messageId"].endswith("-c-of-the-header-0")
    assert "hook.identity_missing" in refused
    assert "would be ignored" in ignored
    assert "cannot be read" in missing
    assert not await records_of(kafka_bootstrap, TOUCHPOINTS, shop.workspace)


async def test_what_cannot_be_is_said_in_a_sentence(own: Installation) -> None:
    empty = own.clm("hook", "list")
    create = ("hook", "create", "calls", "--scheme", "github", "--mapping")
    mapping = own.clm(*create, "nope", code=1)
    own.clm(*create, "crm-calls")
    again = own.clm(*create, "crm-calls", code=1)
    unknown = own.clm("hook", "enable", "nope", code=1)

    assert "clm hook create" in empty
    assert "crm-calls" in mapping, "those that there are stand in the sentence"
    assert "calls" in again
    assert "nope" in unknown
