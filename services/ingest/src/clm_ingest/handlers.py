"""The tracking app: a request is authenticated, admitted, published, and then answered.

Success is answered only after Kafka has acknowledged every admitted event and every dead letter of
the request. What is not acknowledged is answered 503, and the sender sends it again.
"""

import uuid
from collections.abc import Awaitable
from typing import Final

import structlog
from msgspec import Struct
from starlette.types import Receive, Scope, Send

from clm_common import telemetry
from clm_common.bus.ports import Producer
from clm_common.clock import Clock
from clm_common.errors import ClmError, Rejected, Unavailable
from clm_common.runtime.protocol import WHOLE
from clm_ingest import answers, body
from clm_ingest.answers import Answer
from clm_ingest.core.admission import Origin, Verdicts, admit
from clm_ingest.core.credentials import unmasked, write_key_of
from clm_ingest.core.fallbacks import ANONYMOUS_ID, SENT_AT, with_fallbacks
from clm_ingest.core.parcel import Limits, Parcel
from clm_ingest.core.proxies import Proxies
from clm_ingest.core.quarantine import letters_of
from clm_ingest.core.request import Request
from clm_ingest.core.translation import settle
from clm_ingest.core.unopened import refusal_of
from clm_ingest.core.window import Window
from clm_ingest.encodings import inflate
from clm_ingest.gate import Gate
from clm_ingest.keyring import Keyring
from clm_ingest.outlet import Outlet
from clm_ingest.receiver import Received, Receiver
from clm_ingest.store import Keys
from clm_ingest.table import Found, Intake

log = structlog.get_logger()

_UNREADABLE: Final = 400
_UNTOLD: Final = telemetry.INGEST_EVENTS.labels("untold")


class Bounds(Struct, frozen=True):
    """What the service takes on at once.

    Attributes:
        limits: what one request may hold.
        body_bytes: the largest body, inflated.
        memory_bytes: bytes of bodies in memory, over all requests.
        window_bytes: bytes of message ids that are remembered to hold repeats back early.
        requests: tracking requests at the same time.
        read_seconds: how long a body may take to arrive.
    """

    limits: Limits = Limits()
    body_bytes: int = 4 * 1024 * 1024
    memory_bytes: int = 64 * 1024 * 1024
    window_bytes: int = 32 * 1024 * 1024
    requests: int = 1_000
    read_seconds: float = 10.0


class Tracking:
    """Answers the routes of the table; it is their `Desk`."""

    def __init__(  # noqa: PLR0913 - the parts it is made of
        self,
        keyring: Keyring,
        producer: Producer,
        clock: Clock,
        bounds: Bounds,
        public_url: str,
        *,
        gate: Gate | None = None,
        receiver: Receiver | None = None,
    ) -> None:
        """Make it.

        Args:
            keyring: knows the write keys.
            producer: publishes with group commit.
            clock: stamps the time of receipt.
            bounds: what is taken on at once.
            public_url: where browsers reach us; empty: wherever they asked.
            gate: holds requests against policies; by default one that believes no proxy.
            receiver: finds hooks; by default there is none.
        """
        self._keyring = keyring
        self._outlet = Outlet(producer, Window(bounds.window_bytes))
        self._clock = clock
        self._bounds = bounds
        self._public_url = public_url
        self._gate = gate or Gate(Proxies())
        self._receiver = receiver or Receiver(keyring, {})
        self._budget = body.Budget(bounds.memory_bytes)
        self._running = 0

    async def answer(self, found: Found, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request; whatever it holds, what is wrong with it is a JSON object.

        Args:
            found: what the table has at its path.
            scope: ASGI's.
            receive: ASGI's.
            send: ASGI's.
        """
        request = Request.of(scope, found.params, whole=WHOLE in scope)
        self._running += 1
        try:
            answer = await self._answer(found, request, receive)
        except body.ClientGone:
            return
        except ClmError as fault:
            answer = answers.error_of(fault)
        except Exception:
            log.exception("tracking.defect", path=request.path)
            answer = answers.error(500, "internal", "the error is logged here")
        finally:
            self._running -= 1
        await answers.reply(send, answer, request.header(b"origin"))

    async def _answer(self, found: Found, request: Request, receive: Receive) -> Answer:
        route = found.methods.get(request.method)
        if route is None:
            return otherwise(found, request)
        if self._running > self._bounds.requests:
            raise Unavailable("ingest.busy", "too many requests at the same time")
        return await route.respond(self, request, receive)

    async def take(self, request: Request, receive: Receive, intake: Intake) -> Answer:
        """Authenticate, read, admit, publish, and tell what became of the events."""
        if request.method == "HEAD":  # somebody looks what there is, an image for example
            return intake.always or answers.SUCCESS
        try:
            with self._budget.hold() as hold:
                answer = await self._take(request, receive, intake, hold)
        except ClmError as fault:
            if intake.always is None:
                raise
            _UNTOLD.inc()
            log.debug("tracking.untold", path=request.path, reason=fault.slug)
            return intake.always
        return intake.always or answer

    async def _take(
        self, request: Request, receive: Receive, intake: Intake, hold: body.Hold
    ) -> Answer:
        header = request.header
        write_key = write_key_of(header(b"authorization"), header(b"x-write-key"), request.query)
        received = intake.received  # its signature is checked with the body, a key before it
        keys = self._keyring.find(write_key) if write_key and received is None else None
        sent = b""
        try:
            if not intake.bodiless:
                sent = await self._read(request, receive, hold)
                packed = header(b"content-encoding") and request.joined(b"content-encoding")
                sent = inflate(sent, packed, limit=self._bounds.body_bytes, hold=hold)
            if received is not None:
                keys = self._receiver.authenticate(received, request, sent, self._clock.now())
            parcel = intake.unpack(sent, request, self._bounds.limits)
        except Rejected as fault:
            if keys is None or intake.name is None or fault.status != _UNREADABLE:
                raise
            answer = answers.error_of(fault)
            stored = self._keep(fault, intake.name, request, keys, sent)
        else:
            answer, stored = self._admit(intake, request, keys, parcel, len(sent))
            del parcel
        del sent
        await stored
        return answer

    def keys_of(self, write_key: str | None) -> Keys:
        """Give the source of a write key.

        Raises:
            Rejected: 401 if there is none, or it is not taken.
            Unavailable: it may exist, but the key store is away.
        """
        write_key = unmasked(write_key)
        if write_key is None:
            detail = "send the write key as the user name of Basic authentication"
            raise Rejected(401, "write_key.missing", detail)
        return self._keyring.find(write_key)

    def hook_of(self, name: str) -> Received:
        """Give what stands behind the address of a webhook.

        Raises:
            Rejected: 404 if there is nothing, 403 if it is disabled.
            Unavailable: there may be something, but the key store is away.
        """
        return self._receiver.find(name)

    def address(self, request: Request) -> str:
        """Give the URL under which senders reach us, without a slash at its end."""
        asked = f"{self._gate.scheme(request)}://{request.header(b'host').decode('latin-1')}"
        return (self._public_url or asked).rstrip("/") + request.root

    async def _read(self, request: Request, receive: Receive, hold: body.Hold) -> bytes:
        bounds = self._bounds
        announced = request.header(b"content-length")
        if announced.isdigit() and int(announced) > bounds.body_bytes:
            raise body.too_large(bounds.body_bytes)
        seconds = None if request.whole else bounds.read_seconds
        return await body.read(receive, limit=bounds.body_bytes, seconds=seconds, hold=hold)

    def _admit(
        self, intake: Intake, request: Request, keys: Keys | None, parcel: Parcel, size: int
    ) -> tuple[Answer, Awaitable[None]]:
        """Judge the events, hand them over, and give the answer and what to wait for before it."""
        if ANONYMOUS_ID in request.headers or SENT_AT in request.headers:
            parcel = with_fallbacks(parcel, request)
        keys = keys or self.keys_of(parcel.write_key)
        origin = Origin(keys.workspace, keys.source, self._clock.now(), _browser(request))
        limits, inspect = self._bounds.limits, None
        if (rules := keys.rules) is not None:
            self._gate.check(origin, rules, request, size, len(parcel.events))
            if (declined := self._gate.declined(rules, request, parcel)) is not None:
                return intake.tell(parcel, settle(parcel, declined, limits)), _nothing()
            limits, origin = rules.limits(limits), self._gate.marked(origin, rules, request)
            inspect = self._gate.inspector(rules, origin, request)
        verdicts = settle(parcel, admit(parcel, origin, limits, _new_id, inspect), limits)
        letters = letters_of(verdicts.refused, origin, parcel)
        answer = intake.tell(parcel, verdicts)
        return answer, self._outlet.put((origin.workspace, origin.source), verdicts, letters)

    def _keep(
        self, fault: Rejected, name: str, request: Request, keys: Keys, sent: bytes
    ) -> Awaitable[None]:
        """Quarantine a request that cannot be opened, by the rules that hold for its events."""
        refusal = refusal_of(fault, name, request, sent, self._bounds.limits)
        if not refusal.original.strip():
            return _nothing()
        parcel = Parcel(None, [refusal.original], None)
        origin = Origin(keys.workspace, keys.source, self._clock.now())
        if (rules := keys.rules) is not None:
            self._gate.check(origin, rules, request, len(sent), 1)
            if self._gate.declined(rules, request, parcel) is not None:
                return _nothing()
            origin = self._gate.marked(origin, rules, request)
        letters = letters_of([refusal], origin, parcel)
        source = origin.workspace, origin.source
        return self._outlet.put(source, Verdicts([], [refusal], []), letters)


async def _nothing() -> None:
    """Wait for nothing: no event is kept."""


def _browser(request: Request) -> str | None:
    """Give the user agent of a browser: what names no origin is a program of the company's."""
    if not request.header(b"origin"):
        return None
    return request.header(b"user-agent").decode("latin-1") or None


def otherwise(found: Found, request: Request) -> Answer:
    """Answer a method that the table does not have at this path.

    Raises:
        Rejected: 404 or 405, unless a browser asks what it may send.
    """
    if request.method == "OPTIONS":
        return answers.preflight(request.header(b"access-control-request-headers"))
    if not found.methods:
        raise Rejected(404, "route.unknown", f"{request.path} is no tracking route")
    allow = ", ".join([*found.methods, "OPTIONS"])
    raise Rejected(405, "route.method", f"{request.path} takes {allow}", allow=allow)


def _new_id() -> str:
    return str(uuid.uuid4())
