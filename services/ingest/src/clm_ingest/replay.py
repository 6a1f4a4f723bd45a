"""Replays letters of the quarantine: fetches, admits once more, publishes, and notes it."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Struct

from clm_common import telemetry
from clm_common.bus.ports import Message, Producer
from clm_common.contracts.dead_letter import DeadLetter
from clm_common.errors import Rejected
from clm_ingest.core.admission import Origin
from clm_ingest.core.glimpse import Fault
from clm_ingest.core.parcel import Limits
from clm_ingest.core.replaying import Order, readmit
from clm_ingest.core.unopened import Unpack, name_in
from clm_ingest.gate import Gate
from clm_ingest.keyring import Keyring
from clm_ingest.letterbox import Letterbox
from clm_ingest.receiver import Receiver
from clm_ingest.store.cursors import Place
from clm_ingest.store.letters import Filter, Letter, Letters, Scope

_AT_ONCE: Final = 16 * 1024 * 1024
_GONE: Final = Fault("letter.gone", "its original is not kept any more; replay it with a body")
_STRAY: Final = Fault("letter.source_unknown", "it does not say its source; replay it with one")
_REPLAYED: Final = telemetry.INGEST_EVENTS.labels("replayed")


class Still(Struct, frozen=True):
    """A letter that could not be replayed.

    Attributes:
        letter: which one.
        fault: why.
    """

    letter: Letter
    fault: Fault


class Outcome(Struct, frozen=True):
    """What became of letters.

    Attributes:
        replayed: those that are on Kafka as touchpoints now.
        still: those that stay.
        next: where to go on; None at the end.
    """

    replayed: Sequence[Letter]
    still: Sequence[Still]
    next: Place | None = None


class Replayer:
    """Replays letters of one workspace at a time."""

    def __init__(  # noqa: PLR0913 - the parts it is made of
        self,
        letters: Letters,
        box: Letterbox,
        keyring: Keyring,
        gate: Gate,
        producer: Producer,
        limits: Limits,
        *,
        receiver: Receiver,
        openers: Mapping[str, Unpack],
    ) -> None:
        """Make it.

        Args:
            letters: the index.
            box: fetches originals.
            keyring: knows the sources' policies.
            gate: holds events against them.
            producer: publishes touchpoints.
            limits: the service's own.
            receiver: has the mappings of webhooks.
            openers: open requests that could not be opened, by the names of their intakes.
        """
        self._receiver = receiver
        self._openers = openers
        self._letters = letters
        self._box = box
        self._keyring = keyring
        self._gate = gate
        self._producer = producer
        self._limits = limits

    async def original(self, letter: Letter) -> DeadLetter | None:
        """Fetch a letter; None if the topic does not hold it any more.

        Raises:
            Unavailable: Kafka is away.
        """
        place = letter.partition, letter.offset
        return (await self._box.fetch([place])).get(place)

    async def one(
        self, scope: Scope, letter: Letter, by: str, *, body: bytes | None, source: str | None
    ) -> Outcome:
        """Replay one letter; without a new body one that was replayed before stays so.

        Raises:
            Unavailable: Kafka or PostgreSQL is away; it may have been replayed.
            Rejected: 422 if the source is none of the workspace.
        """
        if letter.replayed_at is not None and body is None:
            return Outcome([], [])
        if source is not None and not self._keyring.has(scope.workspace, source):
            detail = f"there is no source {source} in this workspace"
            raise Rejected(422, "source.unknown", detail, id=source)
        return await self._send(scope, [letter], by, body=body, source=source)

    async def many(
        self, scope: Scope, wanted: Filter, by: str, *, after: Place, limit: int
    ) -> Outcome:
        """Replay letters that were not replayed yet, oldest first.

        Args:
            scope: whose.
            wanted: which.
            by: who does it.
            after: where to go on.
            limit: how many at most; large ones are fewer at once.

        Raises:
            Unavailable: Kafka or PostgreSQL is away; some may have been replayed.
        """
        found = await self._letters.list(
            scope, wanted, after=after, limit=limit, newest_first=False
        )
        sizes = list(accumulate(letter.size for letter in found))
        taken = max(1, sum(size <= _AT_ONCE for size in sizes))
        outcome = await self._send(scope, found[:taken], by)
        more = len(found) == limit or taken < len(found)
        last = found[:taken][-1:]
        place = Place(last[0].at, last[0].id) if more and last else None
        return Outcome(outcome.replayed, outcome.still, place)

    async def _send(
        self,
        scope: Scope,
        letters: Sequence[Letter],
        by: str,
        *,
        body: bytes | None = None,
        source: str | None = None,
    ) -> Outcome:
        originals = await self._box.fetch({(it.partition, it.offset) for it in letters})
        replayed: list[Letter] = []
        messages: list[Message] = []
        still: list[Still] = []
        for letter in letters:
            place = letter.partition, letter.offset
            order = _order(scope, letter, originals.get(place), body=body, source=source)
            found = order if isinstance(order, Fault) else self._readmit(order)
            if isinstance(found, Fault):
                still.append(Still(letter, found))
            else:
                replayed.append(letter)
                messages += found
        await self._producer.publish(messages)
        if replayed:
            await self._letters.mark([letter.id for letter in replayed], by)
            _REPLAYED.inc(len(replayed))
        return Outcome(replayed, still)

    def _readmit(self, order: Order) -> Sequence[Message] | Fault:
        try:
            hook = order.letter.hook
            mapping = None
            if hook is not None:
                mapping = self._receiver.reread(order.workspace, hook).mapping
        except Rejected as gone:
            return Fault(gone.slug, gone.message, order.letter.message_id)
        unpack = self._openers.get(name_in(order.letter))
        rules = self._keyring.rules_of(order.source)
        if rules is None:
            return readmit(order, self._limits, None, mapping, unpack)
        order = msgspec.structs.replace(order, insiders=rules.insiders)
        origin = Origin(order.workspace, order.source, 0)
        inspect = self._gate.inspector(rules, origin, None)
        return readmit(order, rules.limits(self._limits), inspect, mapping, unpack)


def _order(
    scope: Scope,
    letter: Letter,
    original: DeadLetter | None,
    *,
    body: bytes | None,
    source: str | None,
) -> Order | Fault:
    """Say what is to be admitted, from which source."""
    source = source or letter.source
    if source is None:
        return _STRAY
    if original is None:
        if body is None:
            return _GONE
        original = DeadLetter(
            letter.reason, letter.detail, letter.at.isoformat(), b"", message_id=letter.message_id
        )
    return Order(str(letter.id), original, letter.workspace or scope.workspace, source, body)


def ids_of(letters: Sequence[Letter]) -> list[UUID]:
    """Give the ids of letters."""
    return [letter.id for letter in letters]
