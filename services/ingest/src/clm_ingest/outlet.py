"""Where events leave: repeats are held back early, all others go to Kafka, and all are counted.

An event counts once because the stage-engine sees to it, with its history. What is held back here
only spares it work; these are the rules that keep it from ever losing anything:

- an event is a repeat when this process published the same source and message id lately;
- it is remembered when Kafka has acknowledged it; while it is still on its way, a repeat waits for
  that outcome and is answered likewise;
- what was not acknowledged is forgotten: when it comes again it is published.
"""

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from typing import Any, Final

from clm_common import telemetry
from clm_common.bus.ports import Message, Producer
from clm_common.errors import InvalidMessage, Rejected, Unavailable
from clm_ingest.core.admission import Verdicts
from clm_ingest.core.window import Source, Window

_ADMITTED: Final = telemetry.INGEST_EVENTS.labels("admitted")
_REFUSED: Final = telemetry.INGEST_EVENTS.labels("refused")
_REPEATED: Final = telemetry.INGEST_EVENTS.labels("repeated")


class _Flight:
    """Ids on their way to Kafka."""

    __slots__ = ("_landed", "ids", "source")

    def __init__(self, source: Source, ids: set[bytes]) -> None:
        self.source = source
        self.ids = ids
        self._landed: asyncio.Future[bool] | None = None  # few are waited for

    def landed(self) -> asyncio.Future[bool]:
        """Give what becomes whether Kafka has acknowledged them."""
        if self._landed is None:
            self._landed = asyncio.get_running_loop().create_future()
        return self._landed

    def land(self, *, landed: bool) -> None:
        """Say whether Kafka has acknowledged them."""
        if self._landed is not None:
            self._landed.set_result(landed)


class Outlet:
    """Publishes what was admitted, each event once as far as this process can tell."""

    def __init__(self, producer: Producer, window: Window) -> None:
        """Make it.

        Args:
            producer: publishes with group commit.
            window: what was published lately.
        """
        self._producer = producer
        self._window = window
        self._flights: set[_Flight] = set()

    def put(
        self, source: Source, verdicts: Verdicts, letters: Iterable[Message] = ()
    ) -> Coroutine[Any, Any, None]:  # Any: nothing is sent in
        """Hand a request's events over; await what is given to learn that Kafka has them.

        The events are packed before this returns and nothing of them is kept, so the caller may
        let go of them while it waits: memory that is used again at once is still in the caches.

        Args:
            source: the workspace and the source of the request.
            verdicts: what became of the events.
            letters: the dead letters of the refused ones.

        Raises:
            Unavailable: Kafka has not acknowledged everything.
            Rejected: 413, one event is larger than Kafka takes.
        """
        ids, messages = verdicts.ids, verdicts.admitted
        fresh = set(ids)
        known = self._window.take(source, fresh)
        waits: Sequence[asyncio.Future[bool]] = ()
        if self._window.remembers and (known or len(fresh) < len(ids)):
            fresh -= known
            waits = [
                flight.landed()
                for flight in self._flights
                if flight.source == source and not flight.ids.isdisjoint(known)
            ]
            messages = list(_first_of_each(ids, messages, fresh))
        codes = [refusal.fault.code for refusal in verdicts.refused]
        publishing = self._producer.publish([*messages, *letters] if codes else messages)
        flight = _Flight(source, fresh)
        self._flights.add(flight)
        return self._settle(publishing, flight, waits, (len(messages), len(ids)), codes)

    async def _settle(
        self,
        publishing: Awaitable[None],
        flight: _Flight,
        waits: Iterable[asyncio.Future[bool]],
        counts: tuple[int, int],
        refused: Sequence[str],
    ) -> None:
        """Wait for Kafka's acknowledgement, and count what became of the events."""
        await self._land(publishing, flight)
        for landed in waits:
            if not await asyncio.shield(landed):
                raise Unavailable("ingest.repeat", "the same event was on its way and did not land")
        published, sent = counts
        _ADMITTED.inc(published)
        if published < sent:
            _REPEATED.inc(sent - published)
        if refused:
            _REFUSED.inc(len(refused))
        for code in refused:
            telemetry.DEAD_LETTERS.labels(code).inc()

    async def _land(self, publishing: Awaitable[None], flight: _Flight) -> None:
        landed = False
        try:
            await publishing
            landed = True
        except InvalidMessage as error:  # Kafka takes less than our own limit on events
            raise Rejected(413, error.slug, error.message) from error
        finally:
            if not landed:
                self._window.forget(flight.source, flight.ids)
            self._flights.discard(flight)
            flight.land(landed=landed)


def _first_of_each(
    ids: Sequence[bytes], messages: Sequence[Message], fresh: set[bytes]
) -> Iterable[Message]:
    """Give the messages that are no repeats, also not of one another."""
    left = set(fresh)
    for each, message in zip(ids, messages, strict=True):
        if each in left:
            left.discard(each)
            yield message
