"""Sends batches to ingest and waits as long as it asks to: a batch is sent until it is answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

import httpx
import msgspec
from msgspec import Struct

from clm_local.errors import LocalError

PATH: Final = "/v1/import"
_LONGEST_WAIT: Final = 30.0
_PATIENCE: Final = 60.0
_AGAIN: Final = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}


class Rejection(Struct, frozen=True):
    """An event of a batch that ingest has put into the quarantine."""

    index: int
    code: str


class _Answer(Struct, frozen=True):
    rejected: list[Rejection] = []


class Sender:
    """Knows where to send; a context manager."""

    def __init__(
        self,
        url: str,
        write_key: str,
        tell: Callable[[str], None],
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connects with the first batch.

        Args:
            url: where ingest is.
            write_key: of the source that the history is of.
            tell: is told why it waits.
            transport: how to reach it, for tests.
            sleep: waits, likewise.
        """
        self._http = httpx.Client(
            base_url=url,
            auth=(write_key, ""),
            timeout=_PATIENCE,
            trust_env=False,
            transport=transport,
            headers={"content-type": "application/json"},
        )
        self._tell = tell
        self._sleep = sleep

    def send(self, body: bytes) -> list[Rejection]:
        """Send a batch, again and again until ingest has answered for it.

        Returns:
            Those of its events that ingest refused; all others are on Kafka.

        Raises:
            LocalError: ingest refuses the batch as a whole, and would do so again.
        """
        tried = 0
        while True:
            try:
                answer = self._http.post(PATH, content=body)
            except httpx.TransportError as error:
                reason, wait = f"ingest does not answer ({type(error).__name__})", None
            else:
                if answer.is_success:
                    return msgspec.json.decode(answer.content, type=_Answer).rejected
                reason, wait = _refusal(answer), answer.headers.get("retry-after")
            tried += 1
            seconds = float(wait) if wait and wait.isdigit() else float(2 ** min(tried, 5))
            self._tell(f"{reason}; trying again in {min(seconds, _LONGEST_WAIT):g} s")
            self._sleep(min(seconds, _LONGEST_WAIT))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._http.close()


def _refusal(answer: httpx.Response) -> str:
    """Say why ingest did not take a batch now.

    Raises:
        LocalError: it will not take it later either.
    """
    reason = f"ingest answers {answer.status_code}: {answer.text[:300]}"
    if answer.status_code not in _AGAIN:
        raise LocalError("import-refused", reason)
    return reason
