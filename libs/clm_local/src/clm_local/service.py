"""Asking a service's API, and saying in a sentence what it refuses and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import ClassVar, Self, TypeVar

import httpx
import msgspec
from msgspec import Struct

from clm_local.errors import LocalError

T = TypeVar("T")


class Service:
    """One service's API; a context manager. A subclass names the service."""

    name: ClassVar[str]

    def __init__(self, url: str, token: str, *, seconds: float = 10.0) -> None:
        """Connects with the first question.

        Args:
            url: where the service is.
            token: a bearer token.
            seconds: how long an answer may take.
        """
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=seconds,
            trust_env=False,
        )

    def ask(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str | int] | None = None,
    ) -> T:
        """Ask, and read the answer as a type.

        Raises:
            LocalError: the service does not answer, or refuses.
        """
        try:
            response = self._http.request(method, path, json=body, headers=headers, params=query)
        except httpx.TransportError as error:
            raise LocalError(
                f"{self.name}-away", f"{self.name} does not answer ({error}). See `clm status`."
            ) from error
        if not response.is_success:
            raise LocalError(f"{self.name}-refused", f"{self.name} refuses: {_reason(response)}")
        return msgspec.json.decode(response.content or b"null", type=answer)

    def stream(self, path: str) -> Iterator[bytes]:
        """Ask for something long, and give its bytes as they arrive.

        Raises:
            LocalError: the service does not answer, refuses, or breaks off.
        """
        try:
            with self._http.stream("GET", path) as response:
                if not response.is_success:
                    response.read()
                    raise LocalError(
                        f"{self.name}-refused", f"{self.name} refuses: {_reason(response)}"
                    )
                yield from response.iter_bytes()
        except httpx.TransportError as error:
            raise LocalError(
                f"{self.name}-away", f"{self.name} broke off ({error}). See `clm status`."
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._http.close()


class _Fault(Struct, frozen=True):
    detail: str = ""
    pointer: str = ""
    parameter: str = ""


class _Problem(Struct, frozen=True):
    title: str = ""
    detail: str = ""
    errors: list[_Fault] = []


def _reason(response: httpx.Response) -> str:
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except msgspec.DecodeError:
        return f"HTTP {response.status_code}"
    if problem.errors:
        return "; ".join(f"{it.pointer or it.parameter}: {it.detail}" for it in problem.errors)
    return problem.detail or problem.title or f"HTTP {response.status_code}"
