"""The tracking routes while ingest is starting: senders are asked to come back, in their own words.

Preflights, images and the script are answered as always; nothing is taken.
"""

from typing import Final

from starlette.types import Receive, Scope, Send

from clm_common import telemetry
from clm_common.errors import ClmError, Unavailable
from clm_ingest import answers
from clm_ingest.answers import Answer
from clm_ingest.core.request import Request
from clm_ingest.handlers import otherwise
from clm_ingest.receiver import Received
from clm_ingest.store import Keys
from clm_ingest.table import Found, Intake

_SLUG: Final = "service.starting"
_UNTOLD: Final = telemetry.INGEST_EVENTS.labels("untold")


class Closed:
    """Stands in for the tracking app; it is the `Desk` of routes that it turns away."""

    async def answer(self, found: Found, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        request = Request.of(scope, found.params)
        route = found.methods.get(request.method)
        try:
            if route is None:
                answer = otherwise(found, request)
            else:
                answer = await route.respond(self, request, receive)
        except ClmError as fault:
            answer = answers.error_of(fault)
        await answers.reply(send, answer, request.header(b"origin"))

    async def take(
        self,
        request: Request,  # noqa: ARG002 - the protocol's
        receive: Receive,  # noqa: ARG002 - likewise
        intake: Intake,
    ) -> Answer:
        """Take nothing; raises `Unavailable` where the sender can do something about it."""
        if intake.always is None:
            raise _starting()
        _UNTOLD.inc()
        return intake.always

    def keys_of(self, write_key: str | None) -> Keys:  # noqa: ARG002 - the protocol's
        """Raise `Unavailable`: no key is known yet."""
        raise _starting()

    def hook_of(self, name: str) -> Received:  # noqa: ARG002 - the protocol's
        """Raise `Unavailable`: no hook is known yet."""
        raise _starting()

    def address(self, request: Request) -> str:  # noqa: ARG002 - the protocol's
        """Raise `Unavailable`: nobody is sent here yet."""
        raise _starting()


def _starting() -> Unavailable:
    return Unavailable(_SLUG, "ingest is starting")
