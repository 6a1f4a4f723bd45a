"""Public keys from an identity provider over real HTTP: rotation, outages, and restraint."""

from __future__ import annotations

import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from clm_common.errors import Rejected, Unavailable
from clm_common.runtime.tokens import KeyPair, Verifier, generate_key_pair, jwks, mint
from clm_common.runtime.tokens_keys import KeyUrl


class Provider(ThreadingHTTPServer):
    """An identity provider that publishes its keys, unless it is away."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.keys: list[KeyPair] = []
        self.away = False
        self.asked = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/jwks.json"


class Answer(BaseHTTPRequestHandler):
    """One request to it."""

    def do_GET(self) -> None:
        assert isinstance(self.server, Provider)
        self.server.asked += 1
        body = jwks([pair.public for pair in self.server.keys]).encode()
        self.send_response(503 if self.server.away else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""


@pytest.fixture
def provider() -> Generator[Provider]:
    with Provider() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def token(pair: KeyPair) -> str:
    return mint(pair.private, workspace="acme", subject="jane", scopes=("admin",), seconds=60)


async def test_a_new_key_is_fetched_when_the_first_token_names_it(provider: Provider) -> None:
    old, new = generate_key_pair(), generate_key_pair()
    provider.keys = [old]
    verifier = Verifier(KeyUrl(provider.url, pause=0))
    await verifier.verify(token(old))

    provider.keys = [new, old]

    assert (await verifier.verify(token(new))).workspace == "acme"


async def test_known_keys_go_on_working_while_the_provider_is_away(provider: Provider) -> None:
    pair = generate_key_pair()
    provider.keys = [pair]
    verifier = Verifier(KeyUrl(provider.url, fresh=0, pause=0))
    await verifier.verify(token(pair))

    provider.away = True

    assert (await verifier.verify(token(pair))).subject == "jane"


async def test_before_the_first_fetch_nothing_can_be_known(provider: Provider) -> None:
    pair = generate_key_pair()
    provider.keys, provider.away = [pair], True
    verifier = Verifier(KeyUrl(provider.url, pause=0))

    with pytest.raises(Unavailable):
        await verifier.verify(token(pair))

    provider.away = False
    assert (await verifier.verify(token(pair))).subject == "jane"


async def test_made_up_keys_do_not_make_it_ask_the_provider_each_time(provider: Provider) -> None:
    provider.keys = [generate_key_pair()]
    verifier = Verifier(KeyUrl(provider.url))

    for _ in range(20):
        with pytest.raises(Rejected):
            await verifier.verify(token(generate_key_pair()))

    assert provider.asked == 1


async def test_a_provider_that_is_away_is_left_in_peace(provider: Provider) -> None:
    provider.away = True
    verifier = Verifier(KeyUrl(provider.url))

    for _ in range(20):
        with pytest.raises(Unavailable):
            await verifier.verify(token(generate_key_pair()))

    assert provider.asked == 1
